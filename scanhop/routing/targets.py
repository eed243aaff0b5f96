"""Which addresses a code may lead to.

A target is parsed once, by the WHATWG URL standard (as the phone's browser will parse it), and stored in its
serialised form, which is ASCII: what is checked is what is sent. Control characters are refused before parsing,
because that standard removes some of them silently.
"""

import ada_url

MAX_TARGET_LENGTH = 2048
SCHEMES = ("http:", "https:")


class InvalidTarget(ValueError):
    """The address may not be a target; the message says why."""


# Every target has this form. What else it needs, the URL parser knows.
TARGET_PATTERN = r"^ *[Hh][Tt][Tt][Pp][Ss]?:[^\x00-\x1f\x7f]+$"


def parse_target(text: str) -> str:
    """The serialised URL. Raises InvalidTarget."""
    if has_control_characters(text):
        raise InvalidTarget("must not contain control characters")
    try:
        url = ada_url.URL(text.strip(" "))
    except ValueError:
        raise InvalidTarget("is no absolute URL") from None
    if url.protocol not in SCHEMES:
        raise InvalidTarget("must begin with http:// or https://")
    if url.username or url.password:
        raise InvalidTarget("must not contain a user name or a password")
    if len(url.href) > MAX_TARGET_LENGTH:
        raise InvalidTarget(f"must not be longer than {MAX_TARGET_LENGTH} characters")
    return url.href


def has_control_characters(text: str) -> bool:
    return any(character < " " or character == "\x7f" for character in text)


def is_header_safe(url: str) -> bool:
    """Whether the text can stand in a `Location` header as it is: visible ASCII only."""
    return url.isascii() and all("!" <= character <= "~" for character in url)

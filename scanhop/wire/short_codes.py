"""Short codes: what a code looks like, which are reserved, and how a path spells one.

A generated code is 7 random characters of an alphabet without look-alikes (31 ** 7, about 2.8 * 10**10). A custom
code is `[a-z0-9][a-z0-9_-]{0,62}` after ASCII lower-casing. Codes are compared and stored in lower case, except on
domains whose codes are exact: there upper case counts.
"""

import re
import secrets

ALPHABET = "23456789abcdefghjkmnpqrstuvwxyz"
GENERATED_LENGTH = 7
RESERVED = frozenset(["r", "healthz", "readyz", "metrics", "robots.txt", "favicon.ico", ".well-known", "v1", "docs"])

_CODE = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}", re.ASCII)
_EXACT_CODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}", re.ASCII)
_ASCII_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}


class InvalidShortCode(ValueError):
    """The text is no code that anybody could have; the message says why."""


def generate_code() -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(GENERATED_LENGTH))


def fold_code(text: str) -> str:
    """ASCII lower case; other characters stay (U+212A KELVIN SIGN is not k)."""
    return text.translate(_ASCII_LOWER)


def find_code(text: str) -> str | None:
    """The code that a scanned path spells, or None when no code can look like that."""
    folded = fold_code(text)
    return folded if _CODE.fullmatch(folded) else None


def find_exact_code(text: str) -> str | None:
    """As find_code, on a domain whose codes are exact: the text itself."""
    return text if _EXACT_CODE.fullmatch(text) else None


def parse_custom_code(text: str) -> str:
    """The code somebody asks for, folded. Raises InvalidShortCode."""
    code = find_code(text)
    if code is None:
        raise InvalidShortCode(
            "must be 1 to 63 characters of a-z, 0-9, '-' and '_', and begin with a letter or digit"
        )
    if code in RESERVED:
        raise InvalidShortCode(f"'{code}' is reserved")
    return code

"""Host names as people type them, in the one form that is stored and compared."""

import re

import ada_url

MAX_HOST = 253
_OUTSIDE = re.compile(r"[\x00-\x20\x7f/?#@:%\\\[\]]")
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)


class InvalidHost(ValueError):
    """The text is no host name; the message says why."""


def parse_host(text: str) -> str:
    """Lower case, IDNA in ASCII, as a browser sends it in `Host`. Raises InvalidHost."""
    if _OUTSIDE.search(text):
        raise InvalidHost("must be a host name alone, without a scheme, a port or a path")
    url = _parse(text)
    if url.host_type is not ada_url.HostType.DEFAULT:
        raise InvalidHost("must be a name, not an IP address")
    if len(url.hostname) > MAX_HOST:
        raise InvalidHost(f"must not be longer than {MAX_HOST} characters")
    if not all(_LABEL.fullmatch(label) for label in url.hostname.split(".")):
        raise InvalidHost("must consist of labels of 1 to 63 letters, digits and '-', with dots between them")
    return url.hostname


def host_of(url: str) -> str:
    """Of a URL that is known to be one."""
    return ada_url.URL(url).hostname


def _parse(text: str) -> ada_url.URL:
    try:
        return ada_url.URL(f"https://{text}/")
    except ValueError:
        raise InvalidHost("is no host name") from None

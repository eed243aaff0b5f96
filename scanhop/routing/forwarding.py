"""The query of a scanned URL, handed on to the target.

Keys are compared as application/x-www-form-urlencoded reads them, but every pair is handed on as it was written:
duplicates, order, keys without a value. The target's own pairs come first, without those that the scan overrides;
a key that the owner pinned is never taken from the scan. The fragment stays at the end. What the URL standard would
percent-encode in a query is percent-encoded, so that the result is a URL in its serialised form, safe in a header.
"""

from collections.abc import Iterable
from typing import Any
from urllib.parse import unquote_to_bytes

MAX_FORWARDED_LENGTH = 4096
MAX_PINNED = 50
MAX_KEY_LENGTH = 200

# The special-query percent-encode set, https://url.spec.whatwg.org/#special-query-percent-encode-set
_ENCODED = {byte: f"%{byte:02X}" for byte in range(256) if not ord("!") <= byte <= ord("~") or byte in b"\"#<>'"}


class InvalidForwardQuery(ValueError):
    """It is neither a bool nor {"pinned": [key, ...]}; the message says why."""


def parse_forward_query(raw: object) -> tuple[bool, tuple[str, ...]]:
    """Whether to forward, and the pinned keys. Raises InvalidForwardQuery."""
    if isinstance(raw, bool):
        return raw, ()
    if not isinstance(raw, dict) or raw.keys() != {"pinned"}:
        raise InvalidForwardQuery('must be true, false or {"pinned": [key, ...]}')
    return True, _pinned_keys(raw["pinned"])


def forward_query(target: str, query: bytes, pinned: Iterable[str]) -> str:
    """`target` as parse_target gives it. The target itself when the query, or the result, would be too long."""
    if not query or len(query) > MAX_FORWARDED_LENGTH:
        return target
    incoming = _pairs(query.decode("latin-1").translate(_ENCODED))
    kept_for_owner = {key.encode() for key in pinned}
    incoming = [pair for pair in incoming if _key(pair) not in kept_for_owner]
    overridden = {_key(pair) for pair in incoming}
    rest, hash_sign, fragment = target.partition("#")
    path, _, own_query = rest.partition("?")
    pairs = [pair for pair in _pairs(own_query) if _key(pair) not in overridden] + incoming
    forwarded = path + "?" + "&".join(pairs) + hash_sign + fragment
    return forwarded if incoming and len(forwarded) <= MAX_FORWARDED_LENGTH else target


def _pinned_keys(raw: Any) -> tuple[str, ...]:
    if not isinstance(raw, list) or len(raw) > MAX_PINNED:
        raise InvalidForwardQuery(f"pinned must be a list of at most {MAX_PINNED} keys")
    if not all(isinstance(key, str) and 1 <= len(key) <= MAX_KEY_LENGTH and _is_utf8(key) for key in raw):
        raise InvalidForwardQuery(f"pinned keys must be texts of 1 to {MAX_KEY_LENGTH} characters")
    return tuple(raw)


def _is_utf8(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _pairs(query: str) -> list[str]:
    return [pair for pair in query.split("&") if pair]


def _key(pair: str) -> bytes:
    return unquote_to_bytes(pair.partition("=")[0].replace("+", " "))

"""What a request is known by: its key, of its principal, and a hash of what was asked."""

import hashlib
import re
from typing import Any

import orjson

MAX_KEY = 255
_KEY = re.compile(r"[\x21-\x7e]{1,255}")


class InvalidKey(ValueError):
    """The header holds no key; the message says what one is."""


def parse_key(text: str) -> str:
    """Raises InvalidKey."""
    if _KEY.fullmatch(text) is None:
        raise InvalidKey(f"must be 1 to {MAX_KEY} visible ASCII characters")
    return text


def record_id_of(principal: str, key: str) -> bytes:
    """32 bytes. A principal holds no line break."""
    return hashlib.sha256(f"{principal}\n{key}".encode()).digest()


def lock_number_of(record_id: bytes) -> int:
    """For an advisory lock: 64 bits of it, signed."""
    return int.from_bytes(record_id[:8], signed=True)


def hash_request(method: str, path: str, query: bytes, body: bytes) -> bytes:
    """32 bytes: the same for bodies that differ in white space or the order of fields alone."""
    parts = (method.encode(), path.encode("utf-8", "surrogatepass"), query, _canonical(body))
    return hashlib.sha256(b"".join(len(part).to_bytes(8) + part for part in parts)).digest()


def _canonical(body: bytes) -> bytes:
    try:
        parsed: Any = orjson.loads(body)
    except orjson.JSONDecodeError:
        return body
    return orjson.dumps(parsed, option=orjson.OPT_SORT_KEYS)

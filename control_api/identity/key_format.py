"""API keys as their holders see them: `sh_<id>_<secret>`, both parts base32 in lower case.

The id (80 bits) is public and finds the row. Of the secret (160 random bits) only the SHA-256 is stored; with that
many random bits a slow hash would add nothing.
"""

import base64
import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass, field

_KEY = re.compile(r"sh_([a-z2-7]{16})_([a-z2-7]{32})")
_ID_BYTES = 10
_SECRET_BYTES = 20
_NO_HASH = bytes(32)


@dataclass(frozen=True)
class NewKey:
    """A key on the day it is made; `text` is shown once and never stored."""

    id: str
    text: str = field(repr=False)
    secret_hash: bytes = field(repr=False)


def generate_key() -> NewKey:
    key_id, secret = _random_text(_ID_BYTES), _random_text(_SECRET_BYTES)
    return NewKey(key_id, f"sh_{key_id}_{secret}", _hash(secret))


def parse_key(text: str) -> tuple[str, str] | None:
    """The id and the secret, or None when it is no key of ours."""
    match = _KEY.fullmatch(text)
    return None if match is None else (match[1], match[2])


def is_secret_right(secret: str, stored_hash: bytes | None) -> bool:
    """Takes as long for a key that does not exist (None) as for a wrong secret."""
    return hmac.compare_digest(_hash(secret), stored_hash or _NO_HASH) and stored_hash is not None


def is_same_text(one: str, other: str) -> bool:
    """In a time that tells neither where they differ nor how long they are."""
    return hmac.compare_digest(_hash(one), _hash(other))


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def _random_text(length: int) -> str:
    return base64.b32encode(secrets.token_bytes(length)).decode().lower()

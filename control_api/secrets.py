"""Secrets of the API, each derived from SCANHOP_SECRET_KEY for one purpose: none of them says anything of another."""

import hmac
from collections.abc import Iterable

_SALT = b"scanhop"
_FIRST_BLOCK = b"\x01"


def derive(secret_keys: Iterable[str], label: str) -> list[bytes]:
    """32 bytes for each of the keys, in their order, by HKDF (RFC 5869) with SHA-256. The first signs and encrypts,
    all of them verify and decrypt: so a key is replaced by putting the new one in front."""
    return [_expand(hmac.digest(_SALT, key.encode(), "sha256"), label) for key in secret_keys]


def _expand(extracted: bytes, label: str) -> bytes:
    return hmac.digest(extracted, label.encode() + _FIRST_BLOCK, "sha256")

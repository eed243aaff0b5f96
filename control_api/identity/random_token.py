"""Tokens that are shown once: 256 random bits, of which only the SHA-256 is stored."""

import hashlib
import secrets
from dataclasses import dataclass, field

MAX_LENGTH = 100


@dataclass(frozen=True)
class NewToken:
    """A token on the day it is made."""

    text: str = field(repr=False)
    hash: bytes = field(repr=False)


def generate_token(kind: str) -> NewToken:
    """`kind`: what its text begins with, so that people and scanners for leaked secrets know it."""
    text = f"{kind}_{secrets.token_urlsafe(32)}"
    return NewToken(text, hash_token(text))


def hash_token(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()

"""Answers as they are kept: encrypted with AES-256-GCM, and bound to their record.

A sealed answer is a nonce of 12 bytes, then the ciphertext with its tag. The keys are derived from
SCANHOP_SECRET_KEY; without one a key is made up at the start of the process, so that nothing is ever kept in the
clear: what another process kept, or this one before it was started again, cannot be opened then.
"""

import os
from collections.abc import Sequence

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_NONCE_BYTES = 12


class Answer(msgspec.Struct, frozen=True, array_like=True):
    """`headers` in lower case; the length of the body is not among them."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


class UnreadableAnswer(Exception):
    """None of the keys opens it."""


class AnswerSeal:
    """The first key seals, any of them opens."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        """`keys`: 32 bytes each."""
        self._ciphers = [AESGCM(key) for key in keys or [os.urandom(32)]]

    def seal(self, record_id: bytes, answer: Answer) -> bytes:
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._ciphers[0].encrypt(nonce, msgspec.msgpack.encode(answer), record_id)

    def open(self, record_id: bytes, sealed: bytes) -> Answer:
        """Raises UnreadableAnswer."""
        for cipher in self._ciphers:
            try:
                packed = cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], record_id)
            except InvalidTag:
                continue
            return msgspec.msgpack.decode(packed, type=Answer)
        raise UnreadableAnswer

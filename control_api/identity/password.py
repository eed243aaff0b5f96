"""The passwords of users: argon2id (RFC 9106), in threads, a few at a time.

A password is checked in the same time whether its user exists or not.
"""

import asyncio
from dataclasses import dataclass

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

MIN_CHARACTERS = 8
MAX_CHARACTERS = 200
MEMORY_KIB = 19_456
MAX_AT_ONCE = 2


@dataclass(frozen=True)
class Verdict:
    """`new_hash`: what to store in place of the old one, whose parameters are no longer ours."""

    is_right: bool
    new_hash: str | None = None


def parse_password(text: str) -> str:
    """Any characters. Raises ValueError."""
    if not MIN_CHARACTERS <= len(text) <= MAX_CHARACTERS:
        raise ValueError(f"must have {MIN_CHARACTERS} to {MAX_CHARACTERS} characters")
    return text


class Passwords:
    """Each hash takes some 20 ms of a core and MEMORY_KIB: MAX_AT_ONCE run, the others wait."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher(time_cost=2, memory_cost=MEMORY_KIB, parallelism=1)
        self._turns = asyncio.Semaphore(MAX_AT_ONCE)
        self._hash_of_nobody: str | None = None

    async def hash(self, password: str) -> str:
        async with self._turns:
            return await asyncio.to_thread(self._hasher.hash, password)

    async def check(self, stored_hash: str | None, password: str) -> Verdict:
        """`stored_hash` None: there is no such user, or they have no password."""
        if self._hash_of_nobody is None:
            self._hash_of_nobody = await self.hash("of nobody")
        async with self._turns:
            verdict = await asyncio.to_thread(self._check, stored_hash or self._hash_of_nobody, password)
        return verdict if stored_hash is not None else Verdict(is_right=False)

    def _check(self, stored_hash: str, password: str) -> Verdict:
        try:
            self._hasher.verify(stored_hash, password)
        except (VerificationError, InvalidHashError):
            return Verdict(is_right=False)
        is_old = self._hasher.check_needs_rehash(stored_hash)
        return Verdict(is_right=True, new_hash=self._hasher.hash(password) if is_old else None)

"""The visitor key: who the same person is within one UTC day, and nobody beyond it.

A keyed BLAKE2b (RFC 7693, 64 bits) over client address, User-Agent and Accept-Language under the day's random salt.
Salts older than two days are gone everywhere, so keys of different days cannot be brought together. 0 means
unknown: the salt of that day is no longer there.
"""

from collections.abc import Awaitable, Callable, Mapping
from datetime import date
from hashlib import blake2b

NO_VISITOR = 0

ReadSalts = Callable[[], Awaitable[Mapping[date, bytes]]]


class Visitors:
    """Holds the salts at hand. `read_salts` asks Postgres for them, and makes the ones of today and tomorrow."""

    def __init__(self, read_salts: ReadSalts) -> None:
        self._read_salts = read_salts
        self._salts: Mapping[date, bytes] = {}

    async def refresh(self) -> None:
        """Raises StoreUnavailable; the salts at hand stay."""
        self._salts = await self._read_salts()

    def has(self, day: date) -> bool:
        return day in self._salts

    def key(self, day: date, address: bytes, user_agent: bytes, language: bytes) -> int:
        salt = self._salts.get(day)
        if salt is None:
            return NO_VISITOR
        digest = blake2b(b"\0".join((address, user_agent, language)), digest_size=8, key=salt)
        return int.from_bytes(digest.digest()) or 1

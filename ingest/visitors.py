"""The visitor key: who the same person is within one UTC day, and nobody beyond it.

A keyed BLAKE2b (RFC 7693, 64 bits) over client address, User-Agent and Accept-Language under the day's random salt.
Salts older than two days are gone everywhere, so keys of different days cannot be brought together. 0 means
unknown: the salt of that day is no longer there, or the address was not known.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import date
from hashlib import blake2b

NO_VISITOR = 0
_NS_PER_DAY = 86_400 * 1_000_000_000
_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()

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

    def keys(self, seen: Iterable[tuple[int, bytes, bytes, bytes]]) -> list[int]:
        """Of each (time in ns, client address, User-Agent, Accept-Language)."""
        day, hasher = -1, None
        keys = []
        for at_ns, address, user_agent, language in seen:
            if at_ns // _NS_PER_DAY != day:
                day = at_ns // _NS_PER_DAY
                hasher = self._hasher(utc_day(at_ns))
            if hasher is None or not address:
                keys.append(NO_VISITOR)
                continue
            digest = hasher.copy()  # with the salt read in
            digest.update(b"\0".join((address, user_agent, language)))
            keys.append(int.from_bytes(digest.digest()) or 1)
        return keys

    def _hasher(self, day: date) -> blake2b | None:
        salt = self._salts.get(day)
        return None if salt is None else blake2b(digest_size=8, key=salt)


def utc_day(at_ns: int) -> date:
    return date.fromordinal(_EPOCH_ORDINAL + at_ns // _NS_PER_DAY)

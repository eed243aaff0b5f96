"""What one worker remembers of codes: bounded, each entry fresh for an absolute time, then stale but still there.

A hit never renews an entry. Known and unknown codes are kept apart, so that a flood of unknown ones pushes no known
one out. At its bound a part drops the entry that was stored first.
"""

from collections.abc import Hashable
from typing import Generic, TypeVar

import msgspec

from scanhop.wire.route import Route
from scanhop.wire.scan_record import encode_route_prefix

MAX_KNOWN = 200_000
MAX_UNKNOWN = 20_000

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class CachedRoute(msgspec.Struct, frozen=True, gc=False):
    """A code as a worker holds it. `route` is None for an unknown code; `prefix` begins its scan records."""

    route: Route | None
    prefix: bytes
    stale_at: float


class BoundedMap(Generic[Key, Value]):
    """A dict that drops its oldest entry rather than grow beyond `limit`."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._entries: dict[Key, Value] = {}

    def find(self, key: Key) -> Value | None:
        return self._entries.get(key)

    def store(self, key: Key, value: Value) -> None:
        self._entries.pop(key, None)
        if len(self._entries) >= self._limit:
            del self._entries[next(iter(self._entries))]
        self._entries[key] = value

    def drop(self, key: Key) -> None:
        self._entries.pop(key, None)

    def __len__(self) -> int:
        return len(self._entries)


class LocalCache:
    """Times are monotonic seconds, passed in. Keys are (domain id, code)."""

    def __init__(self, ttl_s: float, max_known: int = MAX_KNOWN, max_unknown: int = MAX_UNKNOWN) -> None:
        self._ttl_s = ttl_s
        self._known: BoundedMap[tuple[bytes, str], CachedRoute] = BoundedMap(max_known)
        self._unknown: BoundedMap[tuple[bytes, str], CachedRoute] = BoundedMap(max_unknown)

    def find_fresh(self, key: tuple[bytes, str], now: float) -> CachedRoute | None:
        entry = self.find_any(key)
        return entry if entry is not None and now < entry.stale_at else None

    def find_any(self, key: tuple[bytes, str]) -> CachedRoute | None:
        """Fresh or stale."""
        return self._known.find(key) or self._unknown.find(key)

    def store(
        self, key: tuple[bytes, str], route: Route | None, read_at: float, unknown_prefix: bytes
    ) -> CachedRoute:
        """`read_at`: when the store was asked, not when it answered."""
        prefix = unknown_prefix if route is None else encode_route_prefix(route)
        entry = CachedRoute(route, prefix, read_at + self._ttl_s)
        if route is None:
            self._known.drop(key)
            self._unknown.store(key, entry)
        else:
            self._unknown.drop(key)
            self._known.store(key, entry)
        return entry

    def sizes(self) -> tuple[int, int]:
        """How many known and unknown codes are held."""
        return len(self._known), len(self._unknown)

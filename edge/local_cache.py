"""What one worker remembers of codes: bounded, each entry fresh for an absolute time, then stale but still there.

A hit never renews an entry. Known and unknown codes are kept apart, so that a flood of unknown ones pushes no known
one out. At its bound a part drops the entry that was stored first. A key is the domain's id (16 bytes) and the code.
"""

from edge.answers import Answer
from edge.bounded_map import BoundedMap
from scanhop.wire.route import Route
from scanhop.wire.scan_record import Outcome

MAX_KNOWN = 200_000
MAX_UNKNOWN = 20_000
DOMAIN_ID_BYTES = 16


class CachedRoute(Answer, kw_only=True, gc=False):
    """A code as a worker holds it: what everybody is answered, where that depends on nothing; else `route` is there
    to be decided, and `must_wait` for a count or a password. Times are monotonic seconds.

    `raw`: the encoded route, empty for an unknown code; `prefix` begins its scan records. It is its own answer, and
    does not hold one, for the memory's sake: a worker holds a hundred thousand.
    """

    raw: bytes
    prefix: bytes
    stale_at: float
    route: Route | None = None
    must_wait: bool = False

    @property
    def is_unknown(self) -> bool:
        return not self.raw

    @property
    def is_ready(self) -> bool:
        return self.status > 0


def ready_route(answer: Answer, raw: bytes, prefix: bytes, stale_at: float) -> CachedRoute:
    parts = answer.status, answer.outcome, answer.head, answer.value, answer.body
    return CachedRoute(*parts, raw=raw, prefix=prefix, stale_at=stale_at)


def undecided_route(
    route: Route, raw: bytes, prefix: bytes, stale_at: float, *, must_wait: bool = False
) -> CachedRoute:
    nothing = 0, Outcome.UNKNOWN, b""
    return CachedRoute(*nothing, raw=raw, prefix=prefix, stale_at=stale_at, route=route, must_wait=must_wait)


class LocalCache:
    """The codes of one worker. `known` and `unknown` are for reading."""

    def __init__(self, max_known: int = MAX_KNOWN, max_unknown: int = MAX_UNKNOWN) -> None:
        self._known: BoundedMap[bytes, CachedRoute] = BoundedMap(max_known)
        self._unknown: BoundedMap[bytes, CachedRoute] = BoundedMap(max_unknown)
        self.known = self._known.entries
        self.unknown = self._unknown.entries

    def find_fresh(self, key: bytes, now: float) -> CachedRoute | None:
        entry = self.find_any(key)
        return entry if entry is not None and now < entry.stale_at else None

    def find_any(self, key: bytes) -> CachedRoute | None:
        """Fresh or stale."""
        return self.known.get(key) or self.unknown.get(key)

    def store(self, key: bytes, entry: CachedRoute) -> None:
        held = self.find_any(key)
        into, other = (self._unknown, self._known) if entry.is_unknown else (self._known, self._unknown)
        other.drop(key)
        for gone in (held, into.store(key, entry)):
            if gone is not None:  # whoever still holds it must not take it for fresh
                gone.stale_at = 0.0

    def mark_stale(self, key: bytes) -> None:
        entry = self.find_any(key)
        if entry is not None:
            entry.stale_at = 0.0

    def mark_all_stale(self) -> None:
        """About 10 ms for 200,000 entries."""
        for entry in self.known.values():
            entry.stale_at = 0.0
        for entry in self.unknown.values():
            entry.stale_at = 0.0

"""Buckets of this process alone, for the time without Redis."""

import time
from collections import OrderedDict
from collections.abc import Callable

from control_api.rate_limits.model import Limit, Verdict, decide

MAX_BUCKETS = 10_000
STRICTER = 4


def _now_us() -> int:
    return time.monotonic_ns() // 1_000


class LocalBuckets:
    """At most MAX_BUCKETS; the one that was longest unused goes first."""

    def __init__(self, now_us: Callable[[], int] = _now_us) -> None:
        self._full_at: OrderedDict[str, int] = OrderedDict()
        self._now_us = now_us

    def charge(self, bucket: str, limit: Limit) -> Verdict:
        """One request, by a part of `limit`: there may be several processes, and each has its own."""
        verdict, full_at = decide(limit.divided_by(STRICTER), self._full_at.get(bucket, 0), self._now_us())
        self._full_at[bucket] = full_at
        self._full_at.move_to_end(bucket)
        if len(self._full_at) > MAX_BUCKETS:
            self._full_at.popitem(last=False)
        return verdict

    def forget(self) -> None:
        self._full_at.clear()

"""How many scans a code has had: asked before a scan limit, or a rule on the number of scans, can be judged.

The count is in Redis, and one call both judges and counts, so that no worker can admit one too many. Where Redis has
lost it (a flush), it is begun anew from what Postgres was told last. Where neither can say, the limit does not hold:
the phone is redirected, and `opened` counts it.
"""

import time

from scanhop.stores.errors import StoreError
from scanhop.stores.scan_counters import ScanCounters, ScanCountTable
from scanhop.telemetry.logs import get_logger
from scanhop.wire.route import Kind, Route

PAUSE_S = 1.0

_log = get_logger()


class ScanLimits:
    """Counts of scans, by route. After a failure the stores are left alone for a moment."""

    def __init__(self, counters: ScanCounters, table: ScanCountTable) -> None:
        self._counters = counters
        self._table = table
        self._away_until = float("-inf")
        self.opened = 0

    async def admit(self, route: Route) -> int | None:
        """Count this scan, unless the limit is reached: how many there were before it. None: not known."""
        return await self._ask(route, is_counted=True)

    async def read(self, route: Route) -> int | None:
        """How many there were; this one does not count. None: not known."""
        return await self._ask(route, is_counted=False)

    async def _ask(self, route: Route, *, is_counted: bool) -> int | None:
        if not _depends_on_count(route):
            return None
        scans = None
        if time.monotonic() >= self._away_until:
            try:
                scans = await self._count_or_seed(route, is_counted=is_counted)
            except StoreError as error:
                self._away_until = time.monotonic() + PAUSE_S
                _log.warning("scan_count_unknown", error=str(error))
        if scans is None:
            self.opened += 1
        return scans

    async def _count_or_seed(self, route: Route, *, is_counted: bool) -> int | None:
        scans = await self._count(route, is_counted=is_counted)
        if scans is None:
            await self._counters.raise_to(route.qr_id, await self._table.find_count(route.qr_id))
            scans = await self._count(route, is_counted=is_counted)
        return scans

    async def _count(self, route: Route, *, is_counted: bool) -> int | None:
        if not is_counted:
            return await self._counters.read(route.qr_id)
        count = await self._counters.admit(route.qr_id, route.max_scans)
        return None if count is None else count.scans_before


def _depends_on_count(route: Route) -> bool:
    """A code with a password waits as well, but is not counted for that."""
    return route.max_scans is not None or any(look.kind == Kind.SCANS for rule in route.rules for look in rule.when)

"""Publishes everything when Redis may not hold everything: at the first start, after a flush, a restart, evictions.

Rows are streamed, BATCH at once, so memory is bounded. A row that cannot be a route hinders neither the others nor
the marker: its code keeps the route it has in Redis, or gets a value that makes edges ask Postgres.

One worker publishes, by a claim in Redis; when it dies the claim runs out and another one goes on. On a server that
may evict keys nothing is published and there is no marker: edges fill it code by code, as a cache. When a store fails
on the way the whole is tried again, after a pause that grows. The changes themselves do not come here: who makes one
publishes it.
"""

import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass

from scanhop.stores.completeness import Completeness, Standing
from scanhop.stores.errors import StoreError
from scanhop.stores.routes import CompiledRows, RouteCache, RouteTable
from scanhop.telemetry.logs import get_logger

BATCH = 500
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 60.0
UNREADABLE_TOLD = 20

_log = get_logger()


@dataclass
class _Tally:
    routes: int = 0
    written: int = 0
    unreadable: int = 0


class FullPublication:
    """`on_begin` is called when a publication begins: whatever else Redis held may be gone too."""

    def __init__(  # noqa: PLR0913 - what is read and where it is put
        self,
        completeness: Completeness,
        routes: RouteTable,
        cache: RouteCache,
        publish_domains: Callable[[], Awaitable[object]],
        on_begin: Callable[[], object],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._completeness = completeness
        self._routes = routes
        self._cache = cache
        self._publish_domains = publish_domains
        self._on_begin = on_begin
        self._clock = clock
        self._pause_s = FIRST_PAUSE_S
        self._not_before = float("-inf")
        self._is_evicting = False

    async def check(self) -> None:
        """Renews the marker, withdraws it, or publishes everything and sets it. Raises StoreError."""
        standing = await self._completeness.read_standing()
        self._tell_evictions(standing)
        if standing.is_complete:
            await self._completeness.renew_marker(standing.run_id)
            return
        if standing.is_marked:
            await self._completeness.withdraw_marker()
        if not standing.may_evict and self._clock() >= self._not_before:
            await self._publish_with_claim(standing)

    def _tell_evictions(self, standing: Standing) -> None:
        is_evicting = standing.may_evict or (standing.is_marked and standing.has_evicted_since)
        if is_evicting and not self._is_evicting:
            _log.error(
                "redis_evicts",
                evicted_keys=standing.evictions,
                remedy="set maxmemory-policy to noeviction and maxmemory to what every route needs; "
                "until then unknown codes are looked up in Postgres",
            )
        self._is_evicting = is_evicting

    async def _publish_with_claim(self, began: Standing) -> None:
        claim = await self._completeness.claim()
        if claim is None:
            return
        try:
            await self._publish(claim, began)
        except StoreError:
            self._not_before = self._clock() + self._pause_s
            self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
            raise
        finally:
            with suppress(StoreError):
                await self._completeness.give_up_claim(claim)
        self._pause_s = FIRST_PAUSE_S

    async def _publish(self, claim: str, began: Standing) -> None:
        _log.info("publishing_everything", run_id=began.run_id)
        self._on_begin()
        tally, started = _Tally(), self._clock()
        is_whole = await self._put_routes(claim, tally)
        await self._publish_domains()
        is_marked = is_whole and await self._completeness.set_marker(claim, began)
        tell = _log.info if is_marked else _log.warning
        tell(
            "everything_published" if is_marked else "publication_in_vain",
            routes=tally.routes,
            written=tally.written,
            unreadable=tally.unreadable,
            seconds=round(self._clock() - started, 3),
        )

    async def _put_routes(self, claim: str, tally: _Tally) -> bool:
        """False: what was put at first may be gone already."""
        async with aclosing(self._routes.list_batches(BATCH)) as batches:
            async for rows in batches:
                await self._put_batch(rows, tally)
                if not await self._completeness.keep_claim(claim):
                    return False
        return True

    async def _put_batch(self, rows: CompiledRows, tally: _Tally) -> None:
        if rows.routes:
            tally.written += await self._cache.put_many_if_newer(rows.routes)
        if rows.unreadable:
            await self._cache.mark_unreadable(rows.unreadable)
        for row in rows.unreadable[: max(0, UNREADABLE_TOLD - tally.unreadable)]:
            _log.error("route_not_readable", code=row.code, error=row.reason)
        tally.routes += len(rows.routes)
        tally.unreadable += len(rows.unreadable)

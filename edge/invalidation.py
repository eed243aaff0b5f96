"""Keeps what one worker remembers in step with the stores: hears of each change, and follows the table of domains.

While Redis' invalidations are heard, an answer stays fresh for TRACKED_TTL_S, and a change marks its code stale at
once. When they are no longer heard, everything becomes stale, and answers stay fresh for UNTRACKED_TTL_S only; a
stale answer is given when neither Redis nor Postgres can say better. Only of the server that is heard is it believed
that it holds every route.

The domains are read anew when they change, when the connection is made, and once a minute: from Redis, else from
Postgres; while no store can be asked those at hand go on.
"""

import asyncio
import time

from edge.domains import Domains
from edge.resolver import UNTRACKED_TTL_S, Resolver
from scanhop.stores.cancellation import is_cancelled
from scanhop.stores.domains import DomainCache, DomainTable
from scanhop.stores.errors import StoreError
from scanhop.stores.routes import RouteCache
from scanhop.telemetry.logs import get_logger
from scanhop.wire.domains import Domain

TRACKED_TTL_S = 60.0
REREAD_S = 60.0
RETRY_S = 1.0

_log = get_logger()


class RouteFollower:
    """Told by `Invalidations`. `published`: how many changes Redis had counted when it was last sure that all were
    heard, at `confirmed_at` (monotonic)."""

    def __init__(
        self,
        resolver: Resolver,
        domains: Domains,
        routes: RouteCache,
        domain_cache: DomainCache,
        domain_table: DomainTable,
    ) -> None:
        self._resolver = resolver
        self._domains = domains
        self._routes = routes
        self._domain_cache = domain_cache
        self._domain_table = domain_table
        self._must_read = asyncio.Event()
        self.is_connected = False
        self.published = 0
        self.confirmed_at = time.monotonic()

    def on_connected(self, run_id: str) -> None:
        self.is_connected = True
        self._routes.set_run_id(run_id)
        self._resolver.ttl_s = TRACKED_TTL_S
        self.on_everything()

    def on_disconnected(self) -> None:
        self.is_connected = False
        self._routes.set_run_id(None)
        self._resolver.ttl_s = UNTRACKED_TTL_S
        self._resolver.invalidate_all()

    def on_codes(self, codes: list[tuple[bytes, str]]) -> None:
        for domain_id, code in codes:
            self._resolver.invalidate(domain_id + code.encode())

    def on_domains(self) -> None:
        self._must_read.set()

    def on_everything(self) -> None:
        self._resolver.invalidate_all()
        self._must_read.set()

    def on_published(self, number: int) -> None:
        self.published = number
        self.confirmed_at = time.monotonic()

    async def follow_domains(self) -> None:
        """Runs until cancelled."""
        while True:
            self._must_read.clear()
            pause = REREAD_S if await self._read_domains() else RETRY_S
            if is_cancelled():
                raise asyncio.CancelledError
            try:
                async with asyncio.timeout(pause):
                    await self._must_read.wait()
            except TimeoutError:
                continue

    async def _read_domains(self) -> bool:
        """Whether some store could be asked. What an unknown code is answered depends on its domain."""
        try:
            found = await self._find_domains()
        except StoreError as error:
            _log.warning("domains_not_read", error=str(error))
            return False
        if self._domains.replace(found):
            self._resolver.invalidate_all()
        return True

    async def _find_domains(self) -> list[Domain]:
        try:
            found = await self._domain_cache.find_domains()
        except StoreError:
            found = None
        return await self._domain_table.list_domains() if found is None else found

"""From a scanned code to its route: worker cache, then Redis, then Postgres.

Misses of one code share one look-up. Postgres is asked behind a concurrency limit; what it says is put into Redis.
After a failure Redis is left alone for a moment, so that a phone does not wait for its time-out again and again.
"""

import asyncio
import time
from collections import Counter
from uuid import UUID

from edge.local_cache import CachedRoute, LocalCache
from scanhop.routing.compilation import UncompilableRoute
from scanhop.stores.errors import StoreError, StoreUnavailable
from scanhop.stores.routes import RouteCache, RouteTable
from scanhop.telemetry.logs import get_logger
from scanhop.wire.route import Route
from scanhop.wire.scan_record import encode_unknown_prefix

POSTGRES_CONCURRENCY = 8
REDIS_PAUSE_S = 1.0

Key = tuple[bytes, str]
_log = get_logger()


class Unresolvable(Exception):
    """No store can be asked, and this worker does not remember the code."""


class Resolver:
    """`sources` counts where answers came from; "none": they could not be had."""

    SOURCES = ("cache", "redis", "postgres", "stale", "none")

    def __init__(self, cache: LocalCache, redis: RouteCache, postgres: RouteTable) -> None:
        self._cache = cache
        self._redis = redis
        self._postgres = postgres
        self._flights: dict[Key, asyncio.Task[CachedRoute]] = {}
        self._postgres_places = asyncio.Semaphore(POSTGRES_CONCURRENCY)
        self._redis_away_until = float("-inf")
        self.sources: Counter[str] = Counter()

    async def resolve(self, domain_id: bytes, code: str) -> CachedRoute:
        """Raises Unresolvable."""
        key = (domain_id, code)
        held = self._cache.find_fresh(key, time.monotonic())
        if held is not None:
            self.sources["cache"] += 1
            return held
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = asyncio.create_task(self._look_up(key))
            flight.add_done_callback(lambda _: self._flights.pop(key))
        return await asyncio.shield(flight)

    async def _look_up(self, key: Key) -> CachedRoute:
        read_at = time.monotonic()
        try:
            route = await self._read_redis(key) or await self._read_postgres(key)
        except (StoreError, UncompilableRoute) as error:
            return self._remembered(key, error)
        return self._cache.store(key, route, read_at, encode_unknown_prefix(*key))

    async def _read_redis(self, key: Key) -> Route | None:
        """None: not there, or Redis is away."""
        if time.monotonic() < self._redis_away_until:
            return None
        try:
            (route,) = await self._redis.list_routes([key])
        except StoreError as error:
            self._note_redis_trouble(error)
            return None
        if route is not None:
            self.sources["redis"] += 1
        return route

    async def _read_postgres(self, key: Key) -> Route | None:
        domain_id, code = key
        async with self._postgres_places:
            route = await self._postgres.find_route(UUID(bytes=domain_id), code)
        self.sources["postgres"] += 1
        if route is not None:
            await self._fill_redis(route)
        return route

    async def _fill_redis(self, route: Route) -> None:
        if time.monotonic() < self._redis_away_until:
            return
        try:
            await self._redis.put_if_newer(route)
        except StoreError as error:
            self._note_redis_trouble(error)

    def _note_redis_trouble(self, error: StoreError) -> None:
        if isinstance(error, StoreUnavailable):
            self._redis_away_until = time.monotonic() + REDIS_PAUSE_S
        _log.warning("redis_trouble", error=str(error))

    def _remembered(self, key: Key, error: Exception) -> CachedRoute:
        """The answer when the stores cannot give one."""
        held = self._cache.find_any(key)
        self.sources["none" if held is None else "stale"] += 1
        if not isinstance(error, StoreUnavailable):
            _log.error("route_not_readable", error=str(error))
        if held is None:
            raise Unresolvable(str(error)) from error
        return held

"""From a scanned code to its route: worker cache, then Redis, then Postgres.

Misses of one code share one look-up; the misses of one loop tick share one round trip to Redis. Postgres is asked
behind a concurrency limit, by a bounded number of waiters; what it says is put into Redis. After a failure a store is
left alone for a moment, so that phones do not wait for its time-out again and again. A code that this worker
remembers waits for slow stores PATIENCE_S, then is answered as remembered; so are others like it for the next moment.
"""

import asyncio
import time
from collections import Counter
from uuid import UUID

from edge.local_cache import CachedRoute, LocalCache
from edge.route_batch import Key, RouteBatch
from scanhop.routing.compilation import UncompilableRoute
from scanhop.stores.errors import StoreError, StoreUnavailable
from scanhop.stores.routes import RouteCache, RouteTable
from scanhop.telemetry.logs import get_logger
from scanhop.wire.route import Route
from scanhop.wire.scan_record import encode_unknown_prefix

POSTGRES_CONCURRENCY = 8
POSTGRES_WAITERS = 1000
PAUSE_S = 1.0
PATIENCE_S = 0.5

_log = get_logger()


class Unresolvable(Exception):
    """No store can be asked, and this worker does not remember the code."""


class Resolver:
    """`sources` counts where answers came from; "none": they could not be had."""

    SOURCES = ("cache", "redis", "postgres", "stale", "none")

    def __init__(self, cache: LocalCache, redis: RouteCache, postgres: RouteTable) -> None:
        self._cache = cache
        self._redis = redis
        self._batch = RouteBatch(redis)
        self._postgres = postgres
        self._flights: dict[Key, asyncio.Task[CachedRoute]] = {}
        self._postgres_places = asyncio.Semaphore(POSTGRES_CONCURRENCY)
        self._postgres_waiters = 0
        self._away_until = {"redis": float("-inf"), "postgres": float("-inf")}
        self._slow_until = float("-inf")
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
        is_remembered = self._cache.find_any(key) is not None
        if is_remembered and read_at < self._slow_until:
            return self._remembered(key, TimeoutError())
        try:
            async with asyncio.timeout(PATIENCE_S if is_remembered else None):
                route = await self._read_redis(key) or await self._read_postgres(key)
        except TimeoutError as error:
            self._slow_until = time.monotonic() + PAUSE_S
            return self._remembered(key, error)
        except (StoreError, UncompilableRoute) as error:
            return self._remembered(key, error)
        return self._cache.store(key, route, read_at, encode_unknown_prefix(*key))

    async def _read_redis(self, key: Key) -> Route | None:
        """None: not there, or Redis is away."""
        if self._is_away("redis"):
            return None
        try:
            route = await self._batch.find_route(key)
        except StoreError as error:
            self._note_trouble("redis", error)
            return None
        if route is not None:
            self.sources["redis"] += 1
        return route

    async def _read_postgres(self, key: Key) -> Route | None:
        domain_id, code = key
        if self._is_away("postgres") or self._postgres_waiters >= POSTGRES_WAITERS:
            raise StoreUnavailable("postgres: not asked, it is away or too many wait for it")
        self._postgres_waiters += 1
        try:
            async with self._postgres_places:
                route = await self._postgres.find_route(UUID(bytes=domain_id), code)
        except StoreError as error:
            self._note_trouble("postgres", error)
            raise
        finally:
            self._postgres_waiters -= 1
        self.sources["postgres"] += 1
        if route is not None:
            await self._fill_redis(route)
        return route

    async def _fill_redis(self, route: Route) -> None:
        if self._is_away("redis"):
            return
        try:
            await self._redis.put_if_newer(route)
        except StoreError as error:
            self._note_trouble("redis", error)

    def _is_away(self, store: str) -> bool:
        return time.monotonic() < self._away_until[store]

    def _note_trouble(self, store: str, error: StoreError) -> None:
        """Logged once a pause: the many that failed together say the same."""
        if self._is_away(store):
            return
        if isinstance(error, StoreUnavailable):
            self._away_until[store] = time.monotonic() + PAUSE_S
        _log.warning("store_trouble", store=store, error=str(error))

    def _remembered(self, key: Key, error: Exception) -> CachedRoute:
        """The answer when the stores cannot give one."""
        held = self._cache.find_any(key)
        self.sources["none" if held is None else "stale"] += 1
        if isinstance(error, UncompilableRoute):
            _log.error("route_not_readable", error=str(error))
        if held is None:
            raise Unresolvable(str(error)) from error
        return held

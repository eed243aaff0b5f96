"""From a scanned code to its route: worker cache, then Redis, then Postgres.

Misses of one code share one look-up (a flight); the misses of one loop tick share one round trip to Redis. With the
completeness marker in place a miss in Redis is an unknown code. Else Postgres is asked, behind a concurrency limit
and by a bounded number of waiters; what it says is put into Redis.

An answer is fresh for an absolute time, counted from before the stores were asked. A code that is invalidated while
its flight is under way is answered to those who wait, and remembered only for bad times; whoever asks later begins a
new flight. A route is never replaced by an older version of itself.

After a failure a store is left alone for a moment, so that phones do not wait for its time-out again and again. A
code that this worker remembers waits for slow stores PATIENCE_S, then is answered as remembered; so are others like
it for the next moment.
"""

import asyncio
import struct
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Protocol
from uuid import UUID

from edge.local_cache import DOMAIN_ID_BYTES, CachedRoute, LocalCache
from scanhop.routing.compilation import UncompilableRoute
from scanhop.stores.errors import StoreError, StoreRejected, StoreUnavailable
from scanhop.stores.routes import RouteCache, RouteTable
from scanhop.telemetry.logs import get_logger
from scanhop.wire.route import Route, decode_route, encode_route

POSTGRES_CONCURRENCY = 8
POSTGRES_WAITERS = 1000
MAX_BATCH = 256
PAUSE_S = 1.0
PATIENCE_S = 0.5
UNTRACKED_TTL_S = 0.7
_VERSIONED_HEAD = 9  # bytes: format and version, big-endian, so that they compare as they are

Then = Callable[[CachedRoute | None], None]
_log = get_logger()


def _always() -> bool:
    return True


class Unresolvable(Exception):
    """No store can be asked, and this worker does not remember the code."""


class BuildEntry(Protocol):
    def __call__(self, key: bytes, raw: bytes, route: Route | None, stale_at: float) -> CachedRoute: ...


class _Flight:
    """One look-up under way, and who waits for it."""

    __slots__ = ("has_ended", "is_overtaken", "key", "read_at", "stale_at", "waiters")

    def __init__(self, key: bytes, read_at: float, stale_at: float) -> None:
        self.key = key
        self.read_at = read_at
        self.stale_at = stale_at
        self.waiters: list[tuple[Then, Callable[[], bool]]] = []
        self.is_overtaken = False
        self.has_ended = False

    def code(self) -> tuple[bytes, str]:
        return self.key[:DOMAIN_ID_BYTES], self.key[DOMAIN_ID_BYTES:].decode("ascii")


class Resolver:
    """`sources` counts where answers came from; "none": they could not be had. `generation` counts how often all that
    was remembered became stale at once. `ttl_s` is how long an answer stays fresh from now on."""

    SOURCES = ("cache", "redis", "postgres", "stale", "none")

    def __init__(self, cache: LocalCache, redis: RouteCache, postgres: RouteTable, build_entry: BuildEntry) -> None:
        self._cache = cache
        self._redis = redis
        self._postgres = postgres
        self._build_entry = build_entry
        self._flights: dict[bytes, _Flight] = {}
        self._batch: list[_Flight] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._postgres_places = asyncio.Semaphore(POSTGRES_CONCURRENCY)
        self._postgres_waiters = 0
        self._away_until = {"redis": float("-inf"), "postgres": float("-inf")}
        self._slow_until = float("-inf")
        self.ttl_s = UNTRACKED_TTL_S
        self.generation = 0
        self.sources: Counter[str] = Counter()

    async def resolve(self, key: bytes, may_ask_postgres: Callable[[], bool] = _always) -> CachedRoute:
        """Raises Unresolvable."""
        held = self._cache.find_fresh(key, time.monotonic())
        if held is not None:
            self.sources["cache"] += 1
            return held
        answered: asyncio.Future[CachedRoute | None] = asyncio.get_running_loop().create_future()
        self.look_up(key, lambda found: None if answered.done() else answered.set_result(found), may_ask_postgres)
        found = await answered
        if found is None:
            raise Unresolvable
        return found

    def look_up(self, key: bytes, then: Then, may_ask_postgres: Callable[[], bool] = _always) -> None:
        """Ask the stores. `then` is called later, from the loop: with the code, or None when it cannot be had.

        Postgres is asked when one of those who wait may ask it.
        """
        now = time.monotonic()
        held = self._cache.find_any(key)
        if held is not None and now < self._slow_until:
            self.sources["stale"] += 1
            asyncio.get_running_loop().call_soon(then, held)
            return
        flight = self._flights.get(key) or self._begin(key, now)
        flight.waiters.append((then, may_ask_postgres))

    def invalidate(self, key: bytes) -> None:
        """The code has changed: what is remembered of it, and what is on its way, is stale."""
        self._cache.mark_stale(key)
        flight = self._flights.pop(key, None)
        if flight is not None:
            flight.is_overtaken = True

    def invalidate_all(self) -> None:
        self.generation += 1
        self._cache.mark_all_stale()
        for flight in self._flights.values():
            flight.is_overtaken = True
        self._flights.clear()

    def _begin(self, key: bytes, now: float) -> _Flight:
        """Flights of one batch share their times: each entry would keep a number of its own."""
        if self._batch:
            first = self._batch[0]
            flight = _Flight(key, first.read_at, first.stale_at)
        else:
            flight = _Flight(key, now, now + self.ttl_s)
            asyncio.get_running_loop().call_soon(self._start_batches)
        self._flights[key] = flight
        self._batch.append(flight)
        return flight

    def _start_batches(self) -> None:
        waiting, self._batch = self._batch, []
        for start in range(0, len(waiting), MAX_BATCH):
            flights = waiting[start : start + MAX_BATCH]
            self._spawn(self._read_redis(flights), flights)

    def _spawn(self, work: Coroutine[Any, Any, None], flights: Sequence[_Flight]) -> None:
        def settle(task: asyncio.Task[None]) -> None:
            """Whatever went wrong, nobody waits for ever."""
            self._tasks.discard(task)
            if task.cancelled() or task.exception() is not None:
                _log.error("look_up_failed", exc_info=None if task.cancelled() else task.exception())
                for flight in flights:
                    self._fail(flight)

        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(settle)

    async def _read_redis(self, flights: Sequence[_Flight]) -> None:
        values: Sequence[bytes | None] = [None] * len(flights)
        is_complete = False
        if self._may_ask_redis(flights):
            impatience = self._lose_patience_later(flights)
            try:
                answer = await self._redis.list_routes([flight.code() for flight in flights])
                values, is_complete = answer.routes, answer.is_complete
            except StoreError as error:
                self._note_trouble("redis", error)
            finally:
                impatience.cancel()
        for flight, raw in zip(flights, values, strict=True):
            route = None if raw is None else decode_route(raw)
            if route is not None or (raw is None and is_complete):
                self._land_from_redis(flight, route, raw or b"")
            else:
                self._go_on_to_postgres(flight)

    def _land_from_redis(self, flight: _Flight, route: Route | None, raw: bytes) -> None:
        """A route that nothing can be built from harms no other flight of the batch."""
        try:
            self._land(flight, route, raw)
        except (ValueError, struct.error) as error:
            _log.error("route_not_readable", error=str(error))
            self._go_on_to_postgres(flight)
        else:
            self.sources["redis"] += 1

    def _may_ask_redis(self, flights: Sequence[_Flight]) -> bool:
        """It is left alone after a failure, but not where nobody else could say."""
        if not self._is_away("redis"):
            return True
        return self._is_away("postgres") and any(self._cache.find_any(flight.key) is None for flight in flights)

    def _go_on_to_postgres(self, flight: _Flight) -> None:
        if not any(may_ask() for _, may_ask in flight.waiters):
            self._fail(flight)
            return
        self._spawn(self._read_postgres(flight), [flight])

    async def _read_postgres(self, flight: _Flight) -> None:
        impatience = self._lose_patience_later([flight])
        try:
            route = await self._find_in_postgres(*flight.code())
        except UncompilableRoute as error:
            _log.error("route_not_readable", error=str(error))
            self._fail(flight)
        except StoreError:
            self._fail(flight)
        else:
            self.sources["postgres"] += 1
            self._land(flight, route, b"" if route is None else encode_route(route))
            if route is not None:
                await self._fill_redis(route)
        finally:
            impatience.cancel()

    def _lose_patience_later(self, flights: Sequence[_Flight]) -> asyncio.TimerHandle:
        """By a timer, and the look-up goes on: to cancel one that hangs takes as long as it would hang."""
        waited = time.monotonic() - flights[0].read_at
        return asyncio.get_running_loop().call_later(max(0.0, PATIENCE_S - waited), self._lose_patience, flights)

    def _lose_patience(self, flights: Sequence[_Flight]) -> None:
        for flight in flights:
            if not flight.has_ended and self._cache.find_any(flight.key) is not None:
                self._slow_until = time.monotonic() + PAUSE_S
                flight.is_overtaken = True  # nothing tells it of a change from now on
                self._fail(flight)

    async def _find_in_postgres(self, domain_id: bytes, code: str) -> Route | None:
        if self._is_away("postgres") or self._postgres_waiters >= POSTGRES_WAITERS:
            raise StoreUnavailable("postgres: not asked, it is away or too many wait for it")
        self._postgres_waiters += 1
        try:
            async with self._postgres_places:
                if self._is_away("postgres"):  # found so by another, while this one waited for its place
                    raise StoreUnavailable("postgres: away a moment ago")
                return await self._postgres.find_route(UUID(bytes=domain_id), code)
        except StoreError as error:
            self._note_trouble("postgres", error)
            raise
        finally:
            self._postgres_waiters -= 1

    async def _fill_redis(self, route: Route) -> None:
        if self._is_away("redis"):
            return
        try:
            await self._redis.put_if_newer(route)
        except StoreError as error:
            self._note_trouble("redis", error)

    def _land(self, flight: _Flight, route: Route | None, raw: bytes) -> None:
        """The stores have answered."""
        held = self._cache.find_any(flight.key)
        if held is not None and raw[:_VERSIONED_HEAD] < held.raw[:_VERSIONED_HEAD] and not held.is_unknown and raw:
            entry = held
        else:
            entry = self._build_entry(flight.key, raw, route, flight.stale_at)
            if flight.is_overtaken:
                entry.stale_at = 0.0
            if not flight.is_overtaken or held is None:
                self._cache.store(flight.key, entry)
        self._end(flight, entry)

    def _fail(self, flight: _Flight) -> None:
        """The stores could not be asked: what is remembered, however old."""
        if flight.has_ended:
            return
        held = self._cache.find_any(flight.key)
        self.sources["none" if held is None else "stale"] += len(flight.waiters)
        self._end(flight, held)

    def _end(self, flight: _Flight, found: CachedRoute | None) -> None:
        flight.has_ended = True
        if self._flights.get(flight.key) is flight:
            del self._flights[flight.key]
        waiters, flight.waiters = flight.waiters, []
        for then, _ in waiters:
            try:
                then(found)
            except Exception:  # noqa: BLE001 - one that fails takes nobody else's answer away
                _log.exception("waiter_failed")

    def _is_away(self, store: str) -> bool:
        return time.monotonic() < self._away_until[store]

    def _note_trouble(self, store: str, error: StoreError) -> None:
        """Logged once a pause: the many that failed together say the same."""
        if self._is_away(store):
            return
        if not isinstance(error, StoreRejected):
            self._away_until[store] = time.monotonic() + PAUSE_S
        _log.warning("store_trouble", store=store, error=str(error))

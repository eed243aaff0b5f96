import asyncio
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from uuid import UUID

import pytest
import structlog

from edge.answers import Answers
from edge.domains import Domains
from edge.local_cache import CachedRoute, LocalCache
from edge.pages import Brand, Pages
from edge.redirect import Redirector
from edge.resolver import MAX_BATCH, POSTGRES_CONCURRENCY, UNTRACKED_TTL_S, Resolver, Unresolvable
from scanhop.routing.compilation import UncompilableRoute
from scanhop.stores.errors import StoreRejected, StoreUnavailable
from scanhop.stores.routes import UNREADABLE, RouteBatchAnswer
from scanhop.wire.ids import DEFAULT_DOMAIN_ID
from scanhop.wire.route import Route, encode_route
from scanhop.wire.scan_record import Outcome, decode_scan, encode_scan
from tests.routes import cached, new_route

DOMAIN = DEFAULT_DOMAIN_ID.bytes
OTHER_FORMAT = b"\xff" + encode_route(new_route())[1:]
TTL = 0.05
CHANGES = [lambda resolver: resolver.invalidate(key_of("menu")), Resolver.invalidate_all]


class Shelf:
    """Stands where RouteCache and RouteTable stand: routes by code, with a fault or a delay where one is set.

    `raw`: bytes that Redis holds in a route's place; `is_complete`: its marker stands.
    """

    def __init__(self) -> None:
        self.routes: dict[str, Route] = {}
        self.raw: dict[str, bytes] = {}
        self.is_complete = False
        self.asked: list[str] = []
        self.trips: list[int] = []
        self.put: list[Route] = []
        self.fault: Exception | None = None
        self.put_fault: Exception | None = None
        self.gate: asyncio.Event | None = None
        self.inside = 0
        self.most_inside = 0

    async def list_routes(self, codes: Sequence[tuple[bytes, str]]) -> RouteBatchAnswer:
        assert all(domain_id == DOMAIN for domain_id, _ in codes)
        self.trips.append(len(codes))
        held = [self._encoded(code, await self._find(code)) for _, code in codes]
        return RouteBatchAnswer(held, self.is_complete)

    async def find_route(self, domain_id: UUID, code: str) -> Route | None:
        assert domain_id == DEFAULT_DOMAIN_ID
        return await self._find(code)

    async def put_if_newer(self, route: Route) -> bool:
        if self.put_fault is not None:
            raise self.put_fault
        self.put.append(route)
        return True

    def _encoded(self, code: str, route: Route | None) -> bytes | None:
        return self.raw.get(code) if route is None else encode_route(route)

    async def _find(self, code: str) -> Route | None:
        self.asked.append(code)
        self.inside += 1
        self.most_inside = max(self.most_inside, self.inside)
        route = self.routes.get(code)
        try:
            await (asyncio.sleep(0) if self.gate is None else self.gate.wait())
        finally:
            self.inside -= 1
        if self.fault is not None:
            raise self.fault
        return route


class Builder:
    """Builds entries that keep their route; what cannot be built is set."""

    def __init__(self) -> None:
        self.faults: dict[str, Exception] = {}

    def __call__(self, key: bytes, raw: bytes, route: Route | None, stale_at: float) -> CachedRoute:
        if route is not None and route.code in self.faults:
            raise self.faults[route.code]
        return cached(raw, key, stale_at, route)


class NoReaders:
    """No proxy is trusted, and nothing is read."""

    trusted = ()


@pytest.fixture
def no_pause(monkeypatch):
    """A store is asked again at once after it failed."""
    monkeypatch.setattr("edge.resolver.PAUSE_S", 0)


@pytest.fixture
def redis() -> Shelf:
    return Shelf()


@pytest.fixture
def postgres() -> Shelf:
    return Shelf()


@pytest.fixture
def cache() -> LocalCache:
    return LocalCache()


@pytest.fixture
def builder() -> Builder:
    return Builder()


@pytest.fixture
def resolver(
    cache: LocalCache, redis: Shelf, postgres: Shelf, builder: Builder, monkeypatch: pytest.MonkeyPatch
) -> Resolver:
    """Every time it knows is longer than a test takes; a test sets those that it needs."""
    monkeypatch.setattr("edge.resolver.PAUSE_S", 3600)
    monkeypatch.setattr("edge.resolver.PATIENCE_S", 3600)
    resolver = Resolver(cache, redis, postgres, builder)
    resolver.ttl_s = 3600
    return resolver


@pytest.fixture
def logged() -> Iterator[list[dict[str, Any]]]:
    with structlog.testing.capture_logs() as lines:
        yield lines


def key_of(code: str) -> bytes:
    return DOMAIN + code.encode()


def menu(version: int) -> Route:
    return new_route(code="menu", version=version)


async def find(resolver: Resolver, code: str = "menu", may_ask_postgres: Callable[[], bool] = lambda: True) -> Any:
    """The route."""
    return (await resolver.resolve(key_of(code), may_ask_postgres)).route


async def results_of(finding: Sequence["asyncio.Task[Any]"]) -> list[Any]:
    """What each came to, errors among it. Nobody waits for ever."""
    async with asyncio.timeout(5):
        return await asyncio.gather(*finding, return_exceptions=True)


def begin(resolver: Resolver, *codes: str) -> list["asyncio.Task[Any]"]:
    return [asyncio.create_task(find(resolver, code)) for code in codes]


def counted(resolver: Resolver) -> dict[str, int]:
    return {source: count for source, count in resolver.sources.items() if count}


def logged_of(logged: list[dict[str, Any]], event: str) -> list[dict[str, Any]]:
    return [line for line in logged if line["event"] == event]


async def until(condition) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - any state of the stand-ins
            await asyncio.sleep(0)


# --- where the answer comes from ---


async def test_a_route_in_redis_costs_no_database_read(resolver, redis, postgres):
    redis.routes["menu"] = new_route()
    assert await find(resolver) == redis.routes["menu"]
    assert postgres.asked == []
    assert counted(resolver) == {"redis": 1}


async def test_what_is_remembered_of_a_route_are_the_bytes_that_redis_holds(resolver, redis):
    redis.routes["menu"] = new_route()
    found = await resolver.resolve(key_of("menu"))
    assert (found.raw, found.is_unknown) == (encode_route(redis.routes["menu"]), False)


async def test_a_route_that_redis_lacks_is_read_from_postgres_and_put_into_redis(resolver, redis, postgres):
    postgres.routes["menu"] = new_route()
    found = await resolver.resolve(key_of("menu"))
    assert (found.route, found.raw) == (postgres.routes["menu"], encode_route(postgres.routes["menu"]))
    assert redis.put == [postgres.routes["menu"]]
    assert counted(resolver) == {"postgres": 1}


async def test_a_code_that_neither_store_knows_is_unknown_and_puts_nothing_into_redis(resolver, redis, postgres):
    found = await resolver.resolve(key_of("nowhere"))
    assert (found.route, found.is_unknown) == (None, True)
    assert (redis.asked, postgres.asked, redis.put) == (["nowhere"], ["nowhere"], [])
    assert counted(resolver) == {"postgres": 1}


async def test_a_code_that_redis_lacks_though_it_holds_every_route_is_unknown(resolver, redis, postgres):
    redis.is_complete = True
    found = await resolver.resolve(key_of("nowhere"))
    assert (found.route, found.is_unknown) == (None, True)
    assert (redis.asked, postgres.asked, redis.put) == (["nowhere"], [], [])
    assert counted(resolver) == {"redis": 1}


async def test_a_code_that_redis_lacks_is_asked_of_postgres_as_soon_as_redis_is_not_complete(
    resolver, redis, postgres
):
    redis.is_complete = True
    assert await find(resolver) is None
    redis.is_complete = False
    postgres.routes["menu"] = new_route()
    resolver.invalidate_all()
    assert await find(resolver) == postgres.routes["menu"]


@pytest.mark.parametrize("raw", [UNREADABLE, OTHER_FORMAT, encode_route(new_route())[:-1]])
@pytest.mark.parametrize("is_complete", [True, False])
async def test_bytes_that_cannot_be_decoded_mean_that_postgres_is_asked(resolver, redis, postgres, is_complete, raw):
    redis.is_complete, redis.raw["menu"] = is_complete, raw
    postgres.routes["menu"] = new_route()
    assert await find(resolver) == postgres.routes["menu"]
    assert postgres.asked == ["menu"]
    assert counted(resolver) == {"postgres": 1}


async def test_a_code_of_bytes_that_cannot_be_decoded_is_not_called_unknown(resolver, redis, postgres):
    redis.is_complete, redis.raw["menu"] = True, UNREADABLE
    postgres.fault = StoreUnavailable("away")
    with pytest.raises(Unresolvable):
        await find(resolver)


async def test_a_route_that_nothing_can_be_built_from_harms_no_other_of_its_batch(
    resolver, redis, postgres, builder, logged
):
    codes = ("a", "b", "c")
    redis.routes = {code: new_route(code=code) for code in codes}
    postgres.routes["b"] = new_route(code="b2")
    for builder.faults["b"] in (ValueError("no URL"), struct.error("too long")):
        resolver.invalidate_all()
        found = await results_of(begin(resolver, *codes))
        assert [route.code for route in found] == ["a", "b2", "c"]
    assert postgres.asked == ["b", "b"]
    assert [line["error"] for line in logged_of(logged, "route_not_readable")] == ["no URL", "too long"]


async def test_the_record_of_an_unknown_code_says_which(cache, redis, postgres):
    redirector = Redirector(Domains(), None, None, Answers(Pages(Brand())), NoReaders(), None, None, None)
    found = await Resolver(cache, redis, postgres, redirector.build_entry).resolve(key_of("nowhere"))
    record = decode_scan(encode_scan(found.prefix, 1, Outcome.UNKNOWN, b"", b""))
    assert (record.domain_id, record.code, record.workspace_id) == (DOMAIN, "nowhere", bytes(16))


async def test_an_answer_is_given_later_and_not_by_the_call_that_asks(resolver, redis):
    redis.routes["menu"] = new_route()
    answers: list[CachedRoute | None] = []
    resolver.look_up(key_of("menu"), answers.append)
    assert answers == []
    await until(lambda: answers)
    assert [found.route for found in answers if found] == [redis.routes["menu"]]


# --- how long it is fresh ---


@pytest.mark.parametrize("code", ["menu", "nowhere"])
async def test_a_fresh_answer_asks_no_store_again(resolver, redis, postgres, code):
    redis.routes["menu"] = new_route()
    for _ in range(3):
        await find(resolver, code)
    assert redis.asked == [code]
    assert len(postgres.asked) <= 1
    assert resolver.sources["cache"] == 2


async def test_a_stale_answer_is_read_again(resolver, redis):
    resolver.ttl_s = TTL
    redis.routes["menu"] = menu(1)
    await find(resolver)
    redis.routes["menu"] = menu(2)
    await asyncio.sleep(TTL + 0.01)
    assert (await find(resolver)).version == 2


async def test_freshness_counts_from_before_the_read(resolver, redis):
    resolver.ttl_s = TTL
    redis.routes["menu"] = new_route()
    redis.gate = asyncio.Event()
    finding = asyncio.create_task(find(resolver))
    await asyncio.sleep(TTL + 0.01)
    redis.gate.set()
    await finding
    await find(resolver)
    assert len(redis.asked) == 2


@pytest.mark.parametrize("code", ["in-redis", "in-postgres", "nowhere"])
@pytest.mark.parametrize("ttl_s", [0.7, 60.0])
async def test_an_answer_is_fresh_for_as_long_as_the_resolver_says(resolver, redis, postgres, code, ttl_s):
    redis.routes["in-redis"], postgres.routes["in-postgres"] = new_route(), new_route()
    resolver.ttl_s = ttl_s
    before = time.monotonic()
    found = await resolver.resolve(key_of(code))
    assert before <= found.stale_at - ttl_s <= time.monotonic()


async def test_a_new_resolver_trusts_its_answers_as_long_as_one_that_hears_of_no_change(
    cache, redis, postgres, builder
):
    assert Resolver(cache, redis, postgres, builder).ttl_s == UNTRACKED_TTL_S


async def test_a_change_of_the_time_that_answers_are_fresh_is_for_those_to_come(resolver, redis):
    redis.routes = {"a": new_route(), "b": new_route()}
    first = await resolver.resolve(key_of("a"))
    stale_at = first.stale_at
    resolver.ttl_s = 0
    for _ in range(2):
        await find(resolver, "a")
        await find(resolver, "b")
    assert first.stale_at == stale_at
    assert redis.asked == ["a", "b", "b"]


# --- changes ---


async def test_a_changed_code_is_read_again(resolver, redis):
    redis.routes = {"menu": menu(1), "other": new_route()}
    await find(resolver)
    await find(resolver, "other")
    redis.routes["menu"] = menu(2)
    resolver.invalidate(key_of("menu"))
    assert (await find(resolver)).version == 2
    await find(resolver, "other")
    assert redis.asked == ["menu", "other", "menu"]


async def test_an_unknown_code_that_was_made_is_found(resolver, redis):
    redis.is_complete = True
    assert await find(resolver) is None
    redis.routes["menu"] = new_route()
    resolver.invalidate(key_of("menu"))
    assert await find(resolver) == redis.routes["menu"]


async def test_a_route_that_is_gone_is_unknown_though_it_was_remembered(resolver, redis):
    redis.is_complete = True
    redis.routes["menu"] = new_route()
    await find(resolver)
    del redis.routes["menu"]
    resolver.invalidate(key_of("menu"))
    assert (await resolver.resolve(key_of("menu"))).is_unknown


async def test_of_a_code_that_nobody_asked_for_a_change_means_nothing(resolver, redis):
    resolver.invalidate(key_of("menu"))
    assert (redis.asked, resolver.generation, resolver._flights) == ([], 0, {})


@pytest.mark.parametrize("invalidate", CHANGES)
@pytest.mark.parametrize("asked_store", ["redis", "postgres"])
async def test_a_change_under_way_is_answered_and_not_kept_fresh(resolver, redis, postgres, asked_store, invalidate):
    store = {"redis": redis, "postgres": postgres}[asked_store]
    store.routes["menu"] = menu(1)
    store.gate = asyncio.Event()
    early = begin(resolver, "menu", "menu")
    await until(lambda: store.asked)
    invalidate(resolver)
    store.routes["menu"] = menu(2)
    late = begin(resolver, "menu", "menu")
    await until(lambda: len(store.asked) == 2)
    store.gate.set()
    assert [route.version for route in await results_of(early)] == [1, 1]
    assert [route.version for route in await results_of(late)] == [2, 2]
    assert (await find(resolver)).version == 2
    assert store.asked == ["menu", "menu"]


@pytest.mark.parametrize("invalidate", CHANGES)
async def test_whoever_asks_after_an_overtaken_look_up_ended_asks_the_stores(resolver, redis, invalidate):
    redis.routes["menu"] = menu(1)
    redis.gate = asyncio.Event()
    early = begin(resolver, "menu")
    await until(lambda: redis.asked)
    invalidate(resolver)
    redis.routes["menu"] = menu(2)
    redis.gate.set()
    assert [route.version for route in await results_of(early)] == [1]
    assert (await find(resolver)).version == 2


async def test_a_change_between_the_question_and_its_round_trip_counts_too(resolver, redis):
    redis.routes["menu"] = menu(1)
    answers: list[CachedRoute | None] = []
    resolver.look_up(key_of("menu"), answers.append)
    resolver.invalidate(key_of("menu"))
    await until(lambda: answers)
    await find(resolver)
    assert redis.asked == ["menu", "menu"]


async def test_what_an_overtaken_look_up_found_is_remembered_for_bad_times(resolver, redis, postgres):
    redis.routes["menu"] = new_route()
    redis.gate = asyncio.Event()
    early = begin(resolver, "menu")
    await until(lambda: redis.asked)
    resolver.invalidate(key_of("menu"))
    redis.gate.set()
    await results_of(early)
    redis.fault = postgres.fault = StoreUnavailable("away")
    assert await find(resolver) == redis.routes["menu"]
    assert resolver.sources["stale"] == 1


@pytest.mark.parametrize("version", [1, 2])
async def test_an_overtaken_look_up_that_ends_last_takes_nothing_away(resolver, redis, version):
    redis.routes["menu"] = menu(version)
    first_gate = redis.gate = asyncio.Event()
    early = begin(resolver, "menu")
    await until(lambda: redis.asked)
    resolver.invalidate(key_of("menu"))
    redis.routes["menu"], redis.gate = menu(2), None
    assert (await find(resolver)).version == 2
    first_gate.set()
    assert [route.version for route in await results_of(early)] == [2]
    assert (await find(resolver)).version == 2
    assert redis.asked == ["menu", "menu"]


async def test_an_overtaken_look_up_that_ends_first_leaves_the_later_one_to_those_who_come(resolver, redis):
    first_gate = redis.gate = asyncio.Event()
    redis.routes["menu"] = menu(1)
    early = begin(resolver, "menu")
    await until(lambda: redis.asked)
    resolver.invalidate(key_of("menu"))
    redis.routes["menu"], redis.gate = menu(2), asyncio.Event()
    late = begin(resolver, "menu")
    await until(lambda: len(redis.asked) == 2)
    first_gate.set()
    await results_of(early)
    latest = begin(resolver, "menu")
    await asyncio.sleep(0)
    redis.gate.set()
    assert [route.version for route in await results_of([*late, *latest])] == [2, 2]
    assert redis.asked == ["menu", "menu"]


async def test_when_everything_may_have_changed_everything_is_read_again(resolver, redis):
    codes = ["a", "b", "nowhere"]
    redis.is_complete = True
    redis.routes = {"a": new_route(), "b": new_route()}
    for generation in range(3):
        assert resolver.generation == generation
        for code in codes * 2:
            await find(resolver, code)
        resolver.invalidate_all()
    assert redis.asked == codes * 3


async def test_an_entry_that_somebody_kept_is_stale_after_its_change(resolver, redis):
    redis.routes = {"a": new_route(), "b": new_route()}
    kept = [await resolver.resolve(key_of(code)) for code in ("a", "b", "nowhere")]
    resolver.invalidate(key_of("a"))
    assert [entry.stale_at == 0 for entry in kept] == [True, False, False]
    resolver.invalidate_all()
    assert [entry.stale_at for entry in kept] == [0, 0, 0]


@pytest.mark.parametrize(("older", "newer"), [(1, 2), (9, 10), (255, 256), (2**32, 2**32 + 1)])
@pytest.mark.parametrize("from_store", ["redis", "postgres"])
async def test_an_older_version_never_replaces_a_newer_one(resolver, redis, postgres, from_store, older, newer):
    redis.routes["menu"] = menu(newer)
    await find(resolver)
    resolver.invalidate(key_of("menu"))
    del redis.routes["menu"]
    {"redis": redis, "postgres": postgres}[from_store].routes["menu"] = menu(older)
    assert (await find(resolver)).version == newer
    assert (await find(resolver)).version == newer
    assert redis.asked == ["menu"] * 3, "the newer one became fresh by an older answer"


async def test_the_same_version_with_other_bytes_replaces_what_was_held(resolver, redis):
    redis.routes["menu"] = menu(1)
    await find(resolver)
    resolver.invalidate(key_of("menu"))
    redis.routes["menu"] = menu(1)
    assert await find(resolver) == redis.routes["menu"]


# --- when a store is away ---


@pytest.mark.parametrize("fault", [StoreUnavailable("away"), StoreRejected("refused")])
async def test_when_redis_fails_postgres_answers(resolver, redis, postgres, fault):
    redis.fault = fault
    postgres.routes["menu"] = new_route()
    assert await find(resolver) == postgres.routes["menu"]
    assert bool(redis.put) == isinstance(fault, StoreRejected)


async def test_a_redis_that_fails_is_not_believed_to_hold_every_route(resolver, redis, postgres):
    redis.is_complete = True
    redis.fault = StoreUnavailable("away")
    postgres.routes = {"a": new_route(code="a"), "b": new_route(code="b")}
    assert [route.code for route in await results_of(begin(resolver, "a", "b"))] == ["a", "b"]
    assert (await find(resolver, "c")) is None
    assert postgres.asked == ["a", "b", "c"]


async def test_after_a_failure_redis_is_left_alone_for_a_moment(resolver, redis, postgres):
    redis.fault = StoreUnavailable("away")
    for code in ("a", "b", "c"):
        await find(resolver, code)
    assert redis.asked == ["a"]


async def test_after_that_moment_redis_is_asked_again(resolver, redis, postgres, monkeypatch):
    monkeypatch.setattr("edge.resolver.PAUSE_S", 0.05)
    redis.fault = StoreUnavailable("away")
    await find(resolver, "a")
    redis.fault = None
    await asyncio.sleep(0.06)
    await find(resolver, "b")
    assert redis.asked == ["a", "b"]


async def test_redis_is_not_left_alone_where_nobody_else_could_say(resolver, redis, postgres):
    redis.fault = postgres.fault = StoreUnavailable("away")
    with pytest.raises(Unresolvable):
        await find(resolver)
    redis.fault = None
    redis.routes["menu"] = new_route()
    assert await find(resolver) == redis.routes["menu"]
    assert postgres.asked == ["menu"]


async def test_redis_is_left_alone_where_all_that_is_asked_for_is_remembered(resolver, redis, postgres):
    redis.routes["menu"] = new_route()
    await find(resolver)
    resolver.invalidate_all()
    redis.fault = postgres.fault = StoreUnavailable("away")
    for _ in range(3):
        assert await find(resolver) == redis.routes["menu"]
    assert redis.asked == ["menu"] * 2


async def test_a_redis_that_takes_nothing_costs_no_answer(resolver, redis, postgres):
    redis.put_fault = StoreUnavailable("away")
    postgres.routes["menu"] = new_route()
    assert await find(resolver) == postgres.routes["menu"]
    assert counted(resolver) == {"postgres": 1}


async def test_when_both_are_away_a_stale_answer_is_better_than_none(resolver, redis, postgres):
    redis.routes["menu"] = new_route()
    await find(resolver)
    resolver.invalidate_all()
    redis.fault = postgres.fault = StoreUnavailable("away")
    assert await find(resolver) == redis.routes["menu"]
    assert counted(resolver) == {"redis": 1, "stale": 1}


async def test_a_stale_answer_does_not_become_fresh_by_being_given(resolver, redis, postgres, no_pause):
    redis.routes["menu"] = menu(1)
    await find(resolver)
    resolver.invalidate_all()
    redis.fault = postgres.fault = StoreUnavailable("away")
    await find(resolver)
    postgres.fault = None
    postgres.routes["menu"] = menu(2)
    assert (await find(resolver)).version == 2


async def test_when_both_are_away_a_code_that_is_not_remembered_cannot_be_resolved(resolver, redis, postgres, logged):
    redis.fault, postgres.fault = StoreUnavailable("redis is away"), StoreUnavailable("postgres is away")
    with pytest.raises(Unresolvable):
        await find(resolver)
    assert counted(resolver) == {"none": 1}
    troubles = [(line["store"], line["error"]) for line in logged_of(logged, "store_trouble")]
    assert troubles == [("redis", "redis is away"), ("postgres", "postgres is away")]


async def test_that_a_code_could_not_be_resolved_is_not_remembered(resolver, redis, postgres, no_pause):
    redis.fault = postgres.fault = StoreUnavailable("away")
    with pytest.raises(Unresolvable):
        await find(resolver)
    postgres.fault = None
    postgres.routes["menu"] = new_route()
    assert await find(resolver) is not None


async def test_with_redis_alone_a_published_code_redirects(resolver, redis, postgres):
    postgres.fault = StoreUnavailable("away")
    redis.routes["menu"] = new_route()
    assert await find(resolver) == redis.routes["menu"]


async def test_a_code_that_redis_lacks_is_not_called_unknown_while_postgres_is_away(resolver, postgres):
    postgres.fault = StoreUnavailable("away")
    with pytest.raises(Unresolvable):
        await find(resolver)


async def test_a_row_that_cannot_be_a_route_is_answered_from_memory(resolver, redis, postgres, logged):
    redis.routes["menu"] = new_route()
    await find(resolver)
    resolver.invalidate_all()
    del redis.routes["menu"]
    postgres.fault = UncompilableRoute("unsafe")
    assert (await find(resolver)) is not None
    with pytest.raises(Unresolvable):
        await find(resolver, "other")
    assert postgres.asked == ["menu", "other"]
    assert [(line["event"], line["error"]) for line in logged] == [("route_not_readable", "unsafe")] * 2


# --- who may ask Postgres ---


@pytest.mark.parametrize(
    "unsay", [lambda redis: None, lambda redis: setattr(redis, "fault", StoreUnavailable("away"))]
)
async def test_for_one_who_may_not_ask_postgres_a_code_that_redis_does_not_answer_cannot_be_had(
    resolver, redis, postgres, unsay
):
    unsay(redis)
    postgres.routes["menu"] = new_route()
    answers: list[CachedRoute | None] = []
    resolver.look_up(key_of("menu"), answers.append, lambda: False)
    await until(lambda: answers)
    assert (answers, postgres.asked) == ([None], [])
    assert counted(resolver) == {"none": 1}


async def test_one_who_may_not_ask_postgres_is_answered_by_redis(resolver, redis, postgres):
    redis.is_complete = True
    redis.routes["menu"] = new_route()
    assert await find(resolver, "menu", lambda: False) == redis.routes["menu"]
    assert await find(resolver, "nowhere", lambda: False) is None
    assert postgres.asked == []


async def test_one_who_may_not_ask_postgres_is_answered_from_memory(resolver, redis, postgres):
    redis.routes["menu"] = new_route()
    await find(resolver)
    resolver.invalidate_all()
    redis.routes.clear()
    assert await find(resolver, "menu", lambda: False) is not None
    assert postgres.asked == []


async def test_postgres_is_asked_when_one_of_those_who_wait_may(resolver, redis, postgres):
    postgres.routes["menu"] = new_route()
    finding = [
        asyncio.create_task(find(resolver, "menu", lambda may_ask=may_ask: may_ask))
        for may_ask in (False, False, True, False)
    ]
    assert await results_of(finding) == [postgres.routes["menu"]] * 4
    assert postgres.asked == ["menu"]


async def test_whether_postgres_may_be_asked_is_judged_once_redis_has_no_answer(resolver, redis, postgres):
    may_ask = True
    postgres.routes["menu"] = new_route()
    redis.gate = asyncio.Event()
    finding = asyncio.create_task(find(resolver, "menu", lambda: may_ask))
    await until(lambda: redis.asked)
    may_ask = False
    redis.gate.set()
    assert [type(result) for result in await results_of([finding])] == [Unresolvable]
    assert postgres.asked == []


async def test_that_one_might_not_ask_postgres_is_not_remembered(resolver, postgres):
    postgres.routes["menu"] = new_route()
    with pytest.raises(Unresolvable):
        await find(resolver, "menu", lambda: False)
    assert await find(resolver) == postgres.routes["menu"]


# --- many at once ---


async def test_misses_of_one_code_share_one_look_up(resolver, redis, postgres):
    postgres.routes["menu"] = new_route()
    postgres.gate = asyncio.Event()
    finding = begin(resolver, *["menu"] * 50)
    await until(lambda: postgres.asked)
    postgres.gate.set()
    assert await asyncio.gather(*finding) == [postgres.routes["menu"]] * 50
    assert (redis.asked, postgres.asked) == (["menu"], ["menu"])


async def test_who_asks_while_postgres_is_asked_joins_those_who_wait(resolver, redis, postgres):
    postgres.routes["menu"] = new_route()
    postgres.gate = asyncio.Event()
    first = begin(resolver, "menu")
    await until(lambda: postgres.asked)
    second = begin(resolver, "menu")
    await asyncio.sleep(0)
    postgres.gate.set()
    assert await results_of([*first, *second]) == [postgres.routes["menu"]] * 2
    assert (redis.asked, postgres.asked) == (["menu"], ["menu"])


async def test_misses_of_two_codes_do_not_wait_for_each_other(resolver, redis):
    redis.routes = {"a": new_route(code="a"), "b": new_route(code="b")}
    redis.gate = asyncio.Event()
    slow = asyncio.create_task(find(resolver, "a"))
    await until(lambda: redis.asked)
    gate, redis.gate = redis.gate, None
    assert (await find(resolver, "b")).code == "b"
    assert not slow.done()
    gate.set()
    assert (await slow).code == "a"


async def test_a_waiter_that_gives_up_does_not_end_the_look_up_of_the_others(resolver, redis):
    redis.routes["menu"] = new_route()
    redis.gate = asyncio.Event()
    first, second = begin(resolver, "menu", "menu")
    await until(lambda: redis.asked)
    first.cancel()
    await asyncio.sleep(0)
    redis.gate.set()
    assert await second == redis.routes["menu"]
    with pytest.raises(asyncio.CancelledError):
        await first
    assert redis.asked == ["menu"]


async def test_a_look_up_that_everybody_gave_up_still_fills_the_cache(resolver, redis):
    redis.routes["menu"] = new_route()
    redis.gate = asyncio.Event()
    only = asyncio.create_task(find(resolver))
    await until(lambda: redis.asked)
    only.cancel()
    redis.gate.set()
    await until(lambda: not resolver._flights)
    await find(resolver)
    assert resolver.sources["cache"] == 1


async def test_a_look_up_that_fails_when_everybody_gave_up_troubles_nobody(resolver, redis, postgres, caplog, logged):
    redis.fault = postgres.fault = StoreUnavailable("away")
    postgres.gate = asyncio.Event()
    only = asyncio.create_task(find(resolver))
    await until(lambda: postgres.asked)
    only.cancel()
    await asyncio.sleep(0)
    postgres.gate.set()
    await until(lambda: not resolver._flights)
    await asyncio.sleep(0)
    assert "never retrieved" not in caplog.text
    assert {line["event"] for line in logged} == {"store_trouble"}


async def test_a_failed_look_up_fails_for_all_who_waited_and_the_next_begins_anew(
    resolver, redis, postgres, no_pause
):
    redis.fault = postgres.fault = StoreUnavailable("away")
    postgres.gate = asyncio.Event()
    finding = begin(resolver, *["menu"] * 3)
    await until(lambda: postgres.asked)
    postgres.gate.set()
    assert [type(result) for result in await results_of(finding)] == [Unresolvable] * 3
    assert counted(resolver) == {"none": 3}
    postgres.fault = None
    assert await find(resolver) is None
    assert len(postgres.asked) == 2


async def test_postgres_is_asked_by_a_few_at_a_time(resolver, redis, postgres):
    postgres.gate = asyncio.Event()
    finding = begin(resolver, *(f"code{number}" for number in range(50)))
    await until(lambda: postgres.inside == POSTGRES_CONCURRENCY)
    for _ in range(10):
        await asyncio.sleep(0)
    assert len(postgres.asked) == POSTGRES_CONCURRENCY
    postgres.gate.set()
    await asyncio.gather(*finding)
    assert postgres.most_inside == POSTGRES_CONCURRENCY
    assert len(postgres.asked) == 50


async def test_a_finished_look_up_is_forgotten(resolver, redis):
    await asyncio.gather(*begin(resolver, *(f"code{number}" for number in range(10))))
    await until(lambda: not resolver._tasks)
    assert (resolver._flights, resolver._batch) == ({}, [])


async def test_the_misses_of_one_tick_are_one_round_trip_to_redis(resolver, redis):
    redis.routes = {f"code{number}": new_route() for number in range(200)}
    await asyncio.gather(*begin(resolver, *redis.routes))
    assert redis.trips == [200]


async def test_a_round_trip_to_redis_carries_so_many_codes_at_most(resolver, redis, postgres):
    codes = [f"code{number}" for number in range(2 * MAX_BATCH + 1)]
    redis.routes = {code: new_route(code=code) for code in codes}
    found = await results_of(begin(resolver, *codes))
    assert [route.code for route in found] == codes
    assert redis.trips == [MAX_BATCH, MAX_BATCH, 1]
    assert postgres.asked == []


# --- stores that hang ---


@pytest.mark.parametrize("who_hangs", ["redis", "postgres", "both"])
async def test_a_remembered_code_does_not_wait_long_for_stores_that_hang(
    resolver, redis, postgres, monkeypatch, who_hangs
):
    monkeypatch.setattr("edge.resolver.PATIENCE_S", 0.05)
    redis.routes["menu"] = new_route()
    held = await find(resolver)
    resolver.invalidate_all()
    redis.routes.clear()
    for store in {"redis": [redis], "postgres": [postgres], "both": [redis, postgres]}[who_hangs]:
        store.gate = asyncio.Event()
    assert await results_of(begin(resolver, "menu", "menu")) == [held, held]
    asked = len(redis.asked)
    assert await results_of(begin(resolver, "menu")) == [held]
    assert len(redis.asked) == asked, "the next scan waits again"
    assert counted(resolver) == {"redis": 1, "stale": 3}


async def test_who_is_answered_from_memory_while_stores_hang_is_answered_later_too(
    resolver, redis, postgres, monkeypatch
):
    monkeypatch.setattr("edge.resolver.PATIENCE_S", 0.01)
    redis.routes["menu"] = new_route()
    held = await resolver.resolve(key_of("menu"))
    resolver.invalidate_all()
    redis.gate = asyncio.Event()
    await results_of(begin(resolver, "menu"))
    answers: list[CachedRoute | None] = []
    resolver.look_up(key_of("menu"), answers.append)
    assert answers == []
    await until(lambda: answers)
    assert answers == [held]


async def test_a_code_that_is_not_remembered_waits_for_slow_stores(resolver, redis, postgres, monkeypatch):
    monkeypatch.setattr("edge.resolver.PATIENCE_S", 0.01)
    postgres.routes["menu"] = new_route()
    for store in (redis, postgres):
        store.gate = asyncio.Event()
    finding = begin(resolver, "menu")
    for store in (redis, postgres):
        await until(lambda store=store: store.asked)
        await asyncio.sleep(0.02)
        store.gate.set()
    assert await results_of(finding) == [postgres.routes["menu"]]


async def test_what_comes_after_patience_was_lost_is_not_taken_for_fresh(resolver, redis, postgres, monkeypatch):
    monkeypatch.setattr("edge.resolver.PATIENCE_S", 0.01)
    monkeypatch.setattr("edge.resolver.PAUSE_S", 0)
    redis.routes["menu"] = menu(1)
    await find(resolver)
    resolver.invalidate_all()
    redis.routes["menu"] = menu(2)
    redis.gate = asyncio.Event()
    assert (await find(resolver)).version == 1
    redis.routes["menu"] = menu(3)
    redis.gate.set()
    await until(lambda: not resolver._tasks)
    assert (await find(resolver)).version == 3


async def test_after_a_failure_postgres_is_left_alone_for_a_moment(resolver, postgres):
    postgres.fault = StoreUnavailable("away")
    for code in ("one", "two", "three"):
        with pytest.raises(Unresolvable):
            await find(resolver, code)
    assert postgres.asked == ["one"]


async def test_those_in_the_queue_of_a_postgres_that_is_found_away_do_not_ask_it(resolver, postgres):
    postgres.fault = StoreUnavailable("away")
    finding = begin(resolver, *(f"code{number}" for number in range(3 * POSTGRES_CONCURRENCY)))
    assert {type(result) for result in await results_of(finding)} == {Unresolvable}
    assert len(postgres.asked) == POSTGRES_CONCURRENCY


async def test_only_so_many_wait_for_postgres(resolver, postgres, monkeypatch):
    monkeypatch.setattr("edge.resolver.POSTGRES_WAITERS", 10)
    postgres.gate = asyncio.Event()
    finding = begin(resolver, *(f"code{number}" for number in range(15)))
    await until(lambda: sum(task.done() for task in finding) == 5)
    postgres.gate.set()
    results = await asyncio.gather(*finding, return_exceptions=True)
    assert sum(isinstance(result, Unresolvable) for result in results) == 5
    postgres.routes["later"] = new_route()
    assert await find(resolver, "later") is not None, "their places are free again"


# --- faults of ours ---


@pytest.mark.parametrize("faulty", ["redis", "postgres"])
async def test_an_unforeseen_fault_fails_all_who_waited(resolver, redis, postgres, logged, faulty):
    store = {"redis": redis, "postgres": postgres}[faulty]
    store.fault = RuntimeError("unforeseen")
    results = await results_of(begin(resolver, "a", "b", "a"))
    assert [type(result) for result in results] == [Unresolvable] * 3
    assert counted(resolver) == {"none": 3}
    assert all(line["exc_info"] is store.fault for line in logged_of(logged, "look_up_failed"))
    assert logged_of(logged, "look_up_failed")
    store.fault = None
    postgres.routes["a"] = new_route()
    assert await find(resolver, "a") is not None


async def test_an_unforeseen_fault_is_answered_from_memory_where_there_is_one(resolver, redis, logged):
    redis.routes["menu"] = new_route()
    await find(resolver)
    resolver.invalidate_all()
    redis.fault = RuntimeError("unforeseen")
    found, other = await results_of(begin(resolver, "menu", "other"))
    assert (found, type(other)) == (redis.routes["menu"], Unresolvable)


@pytest.mark.parametrize("store", ["redis", "postgres"])
async def test_a_route_that_cannot_be_built_wherever_it_comes_from_cannot_be_had(
    resolver, redis, postgres, builder, logged, store
):
    {"redis": redis, "postgres": postgres}[store].routes["menu"] = menu(1)
    postgres.routes["menu"] = menu(1)
    builder.faults["menu"] = ValueError("no URL")
    assert [type(result) for result in await results_of(begin(resolver, "menu"))] == [Unresolvable]
    assert resolver._flights == {}


async def test_a_question_that_fails_fails_all_who_waited(resolver, logged):
    def fails() -> bool:
        raise RuntimeError("unforeseen")

    finding = [asyncio.create_task(find(resolver, "menu", fails)), *begin(resolver, "menu", "other")]
    assert [type(result) for result in await results_of(finding)] == [Unresolvable] * 3


@pytest.mark.parametrize("fault", [RuntimeError("unforeseen"), ValueError("unforeseen")])
@pytest.mark.parametrize("is_away", [False, True])
async def test_a_waiter_that_fails_takes_nobody_elses_answer_away(resolver, redis, postgres, logged, fault, is_away):
    def fails(found: CachedRoute | None) -> None:
        raise fault

    redis.routes = {"menu": new_route(), "other": new_route()}
    if is_away:
        redis.fault = postgres.fault = StoreUnavailable("away")
    answers: list[CachedRoute | None] = []
    resolver.look_up(key_of("menu"), fails)
    resolver.look_up(key_of("menu"), answers.append)
    resolver.look_up(key_of("other"), answers.append)
    await until(lambda: len(answers) == 2)
    await until(lambda: not resolver._tasks)
    assert [found is None for found in answers] == [is_away] * 2
    assert [line["event"] for line in logged if line["log_level"] == "error"] == ["waiter_failed"]
    assert len(postgres.asked) == 2 * is_away


async def test_a_look_up_that_is_cancelled_fails_all_who_waited(resolver, redis, logged):
    redis.gate = asyncio.Event()
    finding = begin(resolver, "a", "b")
    await until(lambda: redis.asked)
    for task in list(resolver._tasks):
        task.cancel()
    assert [type(result) for result in await results_of(finding)] == [Unresolvable] * 2
    assert resolver._flights == {}

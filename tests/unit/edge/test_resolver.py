import asyncio
from collections.abc import Sequence
from uuid import UUID

import pytest

from edge.local_cache import LocalCache
from edge.resolver import POSTGRES_CONCURRENCY, Resolver, Unresolvable
from scanhop.routing.compilation import UncompilableRoute
from scanhop.stores.errors import StoreRejected, StoreUnavailable
from scanhop.wire.ids import DEFAULT_DOMAIN_ID
from scanhop.wire.route import Route
from scanhop.wire.scan_record import Outcome, decode_scan, encode_scan
from tests.routes import new_route

DOMAIN = DEFAULT_DOMAIN_ID.bytes
TTL = 0.05


class Shelf:
    """Stands where RouteCache and RouteTable stand: routes by code, with a fault or a delay where one is set."""

    def __init__(self) -> None:
        self.routes: dict[str, Route] = {}
        self.asked: list[str] = []
        self.put: list[Route] = []
        self.fault: Exception | None = None
        self.put_fault: Exception | None = None
        self.gate: asyncio.Event | None = None
        self.inside = 0
        self.most_inside = 0

    async def list_routes(self, codes: Sequence[tuple[bytes, str]]) -> list[Route | None]:
        return [await self._find(code) for _, code in codes]

    async def find_route(self, domain_id: UUID, code: str) -> Route | None:
        assert domain_id == DEFAULT_DOMAIN_ID
        return await self._find(code)

    async def put_if_newer(self, route: Route) -> bool:
        if self.put_fault is not None:
            raise self.put_fault
        self.put.append(route)
        return True

    async def _find(self, code: str) -> Route | None:
        self.asked.append(code)
        self.inside += 1
        self.most_inside = max(self.most_inside, self.inside)
        try:
            await (asyncio.sleep(0) if self.gate is None else self.gate.wait())
        finally:
            self.inside -= 1
        if self.fault is not None:
            raise self.fault
        return self.routes.get(code)


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
def resolver(redis: Shelf, postgres: Shelf) -> Resolver:
    return Resolver(LocalCache(TTL), redis, postgres)


async def find(resolver: Resolver, code: str = "menu") -> Route | None:
    return (await resolver.resolve(DOMAIN, code)).route


def counted(resolver: Resolver) -> dict[str, int]:
    return {source: count for source, count in resolver.sources.items() if count}


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


async def test_a_route_that_redis_lacks_is_read_from_postgres_and_put_into_redis(resolver, redis, postgres):
    postgres.routes["menu"] = new_route()
    assert await find(resolver) == postgres.routes["menu"]
    assert redis.put == [postgres.routes["menu"]]
    assert counted(resolver) == {"postgres": 1}


async def test_a_code_that_neither_store_knows_is_unknown_and_puts_nothing_into_redis(resolver, redis, postgres):
    assert await find(resolver, "nowhere") is None
    assert (redis.asked, postgres.asked, redis.put) == (["nowhere"], ["nowhere"], [])


async def test_the_record_of_an_unknown_code_says_which(resolver):
    found = await resolver.resolve(DOMAIN, "nowhere")
    record = decode_scan(encode_scan(found.prefix, 1, Outcome.UNKNOWN, b"", b""))
    assert (record.domain_id, record.code, record.workspace_id) == (DOMAIN, "nowhere", bytes(16))


@pytest.mark.parametrize("code", ["menu", "nowhere"])
async def test_a_fresh_answer_asks_no_store_again(resolver, redis, postgres, code):
    redis.routes["menu"] = new_route()
    for _ in range(3):
        await find(resolver, code)
    assert redis.asked == [code]
    assert len(postgres.asked) <= 1
    assert resolver.sources["cache"] == 2


async def test_a_stale_answer_is_read_again(resolver, redis):
    redis.routes["menu"] = new_route()
    await find(resolver)
    redis.routes["menu"] = new_route(version=2)
    await asyncio.sleep(TTL + 0.01)
    assert (await find(resolver)).version == 2


async def test_freshness_counts_from_before_the_read(resolver, redis):
    redis.routes["menu"] = new_route()
    redis.gate = asyncio.Event()
    finding = asyncio.create_task(find(resolver))
    await asyncio.sleep(TTL + 0.01)
    redis.gate.set()
    await finding
    await find(resolver)
    assert len(redis.asked) == 2


# --- when a store is away ---


@pytest.mark.parametrize("fault", [StoreUnavailable("away"), StoreRejected("refused")])
async def test_when_redis_fails_postgres_answers(resolver, redis, postgres, fault):
    redis.fault = fault
    postgres.routes["menu"] = new_route()
    assert await find(resolver) == postgres.routes["menu"]
    assert bool(redis.put) == isinstance(fault, StoreRejected)


async def test_after_a_failure_redis_is_left_alone_for_a_moment(resolver, redis, postgres, monkeypatch):
    monkeypatch.setattr("edge.resolver.PAUSE_S", 0.1)
    redis.fault = StoreUnavailable("away")
    for code in ("a", "b", "c"):
        await find(resolver, code)
    assert redis.asked == ["a"]
    redis.fault = None
    await asyncio.sleep(0.11)
    await find(resolver, "d")
    assert redis.asked == ["a", "d"]


async def test_a_redis_that_takes_nothing_costs_no_answer(resolver, redis, postgres):
    redis.put_fault = StoreUnavailable("away")
    postgres.routes["menu"] = new_route()
    assert await find(resolver) == postgres.routes["menu"]
    assert counted(resolver) == {"postgres": 1}


async def test_when_both_are_away_a_stale_answer_is_better_than_none(resolver, redis, postgres):
    redis.routes["menu"] = new_route()
    await find(resolver)
    await asyncio.sleep(TTL + 0.01)
    redis.fault = postgres.fault = StoreUnavailable("away")
    assert await find(resolver) == redis.routes["menu"]
    assert counted(resolver) == {"redis": 1, "stale": 1}


async def test_a_stale_answer_does_not_become_fresh_by_being_given(resolver, redis, postgres, no_pause):
    redis.routes["menu"] = new_route()
    await find(resolver)
    await asyncio.sleep(TTL + 0.01)
    redis.fault = postgres.fault = StoreUnavailable("away")
    await find(resolver)
    postgres.fault = None
    postgres.routes["menu"] = new_route(version=2)
    assert (await find(resolver)).version == 2


async def test_when_both_are_away_a_code_that_is_not_remembered_cannot_be_resolved(resolver, redis, postgres):
    redis.fault = postgres.fault = StoreUnavailable("away")
    with pytest.raises(Unresolvable, match="away"):
        await find(resolver)
    assert counted(resolver) == {"none": 1}


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


async def test_a_row_that_cannot_be_a_route_is_answered_from_memory(resolver, redis, postgres):
    redis.routes["menu"] = new_route()
    await find(resolver)
    await asyncio.sleep(TTL + 0.01)
    del redis.routes["menu"]
    postgres.fault = UncompilableRoute("unsafe")
    assert (await find(resolver)) is not None
    with pytest.raises(Unresolvable):
        await find(resolver, "other")


# --- many at once ---


async def test_misses_of_one_code_share_one_look_up(resolver, redis, postgres):
    postgres.routes["menu"] = new_route()
    postgres.gate = asyncio.Event()
    finding = [asyncio.create_task(find(resolver)) for _ in range(50)]
    await until(lambda: postgres.asked)
    postgres.gate.set()
    assert await asyncio.gather(*finding) == [postgres.routes["menu"]] * 50
    assert (redis.asked, postgres.asked) == (["menu"], ["menu"])


async def test_misses_of_two_codes_do_not_wait_for_each_other(resolver, redis):
    redis.routes = {"a": new_route(code="a"), "b": new_route(code="b")}
    redis.gate = asyncio.Event()
    slow = asyncio.create_task(find(resolver, "a"))
    await until(lambda: redis.asked)
    redis.gate = None
    assert (await find(resolver, "b")).code == "b"
    assert not slow.done()
    slow.cancel()


async def test_a_waiter_that_gives_up_does_not_end_the_look_up_of_the_others(resolver, redis):
    redis.routes["menu"] = new_route()
    redis.gate = asyncio.Event()
    first, second = asyncio.create_task(find(resolver)), asyncio.create_task(find(resolver))
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


async def test_a_look_up_that_fails_when_everybody_gave_up_troubles_nobody(resolver, redis, postgres, caplog):
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


async def test_a_failed_look_up_fails_for_all_who_waited_and_the_next_begins_anew(
    resolver, redis, postgres, no_pause
):
    redis.fault = postgres.fault = StoreUnavailable("away")
    postgres.gate = asyncio.Event()
    finding = [asyncio.create_task(find(resolver)) for _ in range(3)]
    await until(lambda: postgres.asked)
    postgres.gate.set()
    results = await asyncio.gather(*finding, return_exceptions=True)
    assert [type(result) for result in results] == [Unresolvable] * 3
    postgres.fault = None
    assert await find(resolver) is None
    assert len(postgres.asked) == 2


async def test_postgres_is_asked_by_a_few_at_a_time(resolver, redis, postgres):
    postgres.gate = asyncio.Event()
    finding = [asyncio.create_task(find(resolver, f"code{number}")) for number in range(50)]
    await until(lambda: postgres.inside == POSTGRES_CONCURRENCY)
    for _ in range(10):
        await asyncio.sleep(0)
    assert len(postgres.asked) == POSTGRES_CONCURRENCY
    postgres.gate.set()
    await asyncio.gather(*finding)
    assert postgres.most_inside == POSTGRES_CONCURRENCY
    assert len(postgres.asked) == 50


async def test_a_finished_look_up_is_forgotten(resolver, redis):
    await asyncio.gather(*(find(resolver, f"code{number}") for number in range(10)))
    assert resolver._flights == {}


# --- stores that hang ---


async def test_a_remembered_code_does_not_wait_long_for_stores_that_hang(resolver, redis, postgres, monkeypatch):
    monkeypatch.setattr("edge.resolver.PATIENCE_S", 0.05)
    redis.routes["menu"] = new_route()
    held = await find(resolver)
    await asyncio.sleep(TTL + 0.01)
    redis.gate = postgres.gate = asyncio.Event()
    async with asyncio.timeout(1):
        assert await find(resolver) == held
    asked = len(redis.asked)
    assert await find(resolver) == held
    assert len(redis.asked) == asked, "the next scan waits again"


async def test_after_a_failure_postgres_is_left_alone_for_a_moment(resolver, postgres):
    postgres.fault = StoreUnavailable("away")
    for code in ("one", "two", "three"):
        with pytest.raises(Unresolvable):
            await find(resolver, code)
    assert postgres.asked == ["one"]


async def test_only_so_many_wait_for_postgres(resolver, postgres, monkeypatch):
    monkeypatch.setattr("edge.resolver.POSTGRES_WAITERS", 10)
    postgres.gate = asyncio.Event()
    finding = [asyncio.create_task(find(resolver, f"code{number}")) for number in range(15)]
    await until(lambda: sum(task.done() for task in finding) == 5)
    postgres.gate.set()
    results = await asyncio.gather(*finding, return_exceptions=True)
    assert sum(isinstance(result, Unresolvable) for result in results) == 5


async def test_the_misses_of_one_tick_are_one_round_trip_to_redis(resolver, redis, monkeypatch):
    trips: list[int] = []
    whole = redis.list_routes

    async def counted_trip(codes):
        trips.append(len(codes))
        return await whole(codes)

    monkeypatch.setattr(redis, "list_routes", counted_trip)
    redis.routes = {f"code{number}": new_route() for number in range(300)}
    await asyncio.gather(*(find(resolver, code) for code in redis.routes))
    assert trips == [300]

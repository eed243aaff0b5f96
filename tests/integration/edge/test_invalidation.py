"""What workers remember, and how they hear that it is no longer so: on a real Redis, which also goes away."""

import asyncio
from typing import Any

import msgspec
import pytest

from edge.invalidation import TRACKED_TTL_S
from edge.resolver import UNTRACKED_TTL_S
from scanhop.stores.domains import DomainCache
from scanhop.wire.domains import Domain
from scanhop.wire.ids import DEFAULT_DOMAIN_ID
from scanhop.wire.redis_keys import DOMAINS_KEY, route_key
from scanhop.wire.route import Route, Status, encode_route
from tests.edge_worker import AWAY_POSTGRES, EdgeWorker, eventually, insert_code
from tests.redis_server import RedisServer
from tests.routes import new_id, new_route

KEY = DEFAULT_DOMAIN_ID.bytes + b"abc2345"


@pytest.fixture
async def workers(new_worker) -> list[EdgeWorker]:
    return [await new_worker() for _ in range(3)]


@pytest.fixture
def own_redis(tmp_path):
    with RedisServer(tmp_path / "redis") as redis:
        yield redis


async def edit(worker: EdgeWorker, route: Route, **fields: Any) -> Route:
    newer = msgspec.structs.replace(route, version=route.version + 1, **fields)
    assert await worker.routes.put_if_newer(newer)
    return newer


async def is_told_by_all(workers: list[EdgeWorker], path: str, told: object) -> bool:
    answers = await asyncio.gather(*(worker.get(path) for worker in workers))
    return all(told in (answer.status, answer.location) for answer in answers)


async def remember(workers: list[EdgeWorker], path: str = "/r/abc2345") -> None:
    """So well that the protocol class answers from its own memory."""
    for worker in workers:
        for _ in range(3):
            await worker.get(path)


async def test_an_edit_reaches_every_worker_long_before_its_memory_is_old(workers):
    route = await workers[0].publish()
    for number in range(5):
        await remember(workers)
        target = f"https://example.com/{number}"
        route = await edit(workers[number % 3], route, target_url=target)
        await eventually(lambda target=target: is_told_by_all(workers, "/r/abc2345", target), TRACKED_TTL_S / 3)
    assert [worker.edge.resolver.generation for worker in workers] == [1, 1, 1]


async def test_a_code_that_is_paused_is_paused_on_every_worker(workers):
    route = await workers[0].publish()
    await remember(workers)
    await edit(workers[0], route, status=Status.PAUSED)
    await eventually(lambda: is_told_by_all(workers, "/r/abc2345", 410), TRACKED_TTL_S / 3)


@pytest.mark.parametrize("is_complete", [True, False])
async def test_a_code_that_was_unknown_a_moment_ago_is_found(workers, is_complete):
    if is_complete:
        await workers[0].complete()
    await remember(workers)
    assert await is_told_by_all(workers, "/r/abc2345", 404)
    await workers[0].publish()
    await eventually(lambda: is_told_by_all(workers, "/r/abc2345", 302), TRACKED_TTL_S / 3)


async def test_other_codes_stay_remembered_when_one_is_edited(workers):
    worker = workers[0]
    route = await worker.publish()
    await worker.publish(code="other22")
    await remember(workers)
    await remember(workers, "/r/other22")
    looked_up = worker.edge.resolver.sources["redis"]
    await edit(worker, route, target_url="https://example.com/new")
    await eventually(lambda: is_told_by_all(workers, "/r/abc2345", "https://example.com/new"))
    for _ in range(5):
        await worker.get("/r/other22")
    assert worker.edge.resolver.sources["redis"] <= looked_up + 2


async def test_an_older_version_never_comes_back(workers):
    """Somebody writes into Redis past all checks, and every worker is told of it."""
    worker = workers[0]
    await worker.publish(version=7, target_url="https://example.com/7")
    await remember(workers)
    older = new_route(version=6, target_url="https://example.com/6")
    await worker.redis.set(route_key(DEFAULT_DOMAIN_ID, "abc2345"), encode_route(older))
    await eventually(lambda: all(each.edge.cache.find_any(KEY).stale_at == 0.0 for each in workers))
    for _ in range(3):
        assert await is_told_by_all(workers, "/r/abc2345", "https://example.com/7")


async def test_an_edit_while_the_code_is_looked_up_is_not_missed(own_redis, new_worker):
    """What was on its way is neither told nor remembered, since something newer is known when it comes."""
    worker = await new_worker(redis=own_redis.url, postgres=AWAY_POSTGRES, redis_timeout_s=20)
    route = await worker.publish(target_url="https://example.com/old")
    reading = worker.edge.resolver._redis
    whole, read, go_on = reading.list_routes, asyncio.Event(), asyncio.Event()

    async def held_up(codes):
        answer = await whole(codes)
        read.set()
        await go_on.wait()
        return answer

    reading.list_routes = held_up
    asked = asyncio.create_task(worker.get("/r/abc2345"))
    await asyncio.wait_for(read.wait(), 20)
    reading.list_routes = whole
    await edit(worker, route, target_url="https://example.com/new")
    await eventually(lambda: KEY not in worker.edge.resolver._flights)
    assert (await worker.get("/r/abc2345")).location == "https://example.com/new"
    go_on.set()
    assert (await asked).location == "https://example.com/new"
    for _ in range(3):
        assert (await worker.get("/r/abc2345")).location == "https://example.com/new"


async def test_a_flush_makes_everything_stale_at_once(workers, postgres_dsn):
    await insert_code(postgres_dsn, "abc2345")
    await workers[0].publish(target_url="https://example.com/redis", version=9)
    await remember(workers)
    assert await is_told_by_all(workers, "/r/abc2345", "https://example.com/redis")
    generations = [worker.edge.resolver.generation for worker in workers]
    await workers[0].redis.flushall()
    await eventually(lambda: all(w.edge.resolver.generation > g for w, g in zip(workers, generations, strict=True)))
    for worker in workers:
        before = worker.edge.resolver.sources["postgres"]
        assert (await worker.get("/r/abc2345")).status == 302
        assert worker.edge.resolver.sources["postgres"] == before + 1 or worker.edge.resolver.sources["redis"] > 1


async def test_while_nothing_is_heard_answers_do_not_stay_fresh_for_long(own_redis, new_worker, postgres_dsn):
    worker = await new_worker(redis=own_redis.url)
    route = await worker.publish()
    await insert_code(postgres_dsn, "abc2345", target_url=route.target_url)
    await remember([worker])
    resolver = worker.edge.resolver
    assert resolver.ttl_s == TRACKED_TTL_S
    generation = resolver.generation
    own_redis.kill()
    await eventually(lambda: not worker.edge.follower.is_connected)
    assert resolver.generation > generation
    assert resolver.ttl_s == UNTRACKED_TTL_S
    assert (await worker.get("/r/abc2345")).location == route.target_url
    own_redis.start()
    await eventually(lambda: worker.edge.follower.is_connected)
    assert resolver.ttl_s == TRACKED_TTL_S
    async with worker.postgres.connection() as connection:
        await connection.execute("UPDATE qr_codes SET target_url = 'https://example.com/new', version = 2")
    await edit(worker, route, target_url="https://example.com/new")
    await eventually(lambda: is_told_by_all([worker], "/r/abc2345", "https://example.com/new"))


async def test_what_changed_while_nothing_was_heard_is_seen_afterwards(own_redis, new_worker):
    worker = await new_worker(redis=own_redis.url)
    route = await worker.publish()
    await remember([worker])
    generation = worker.edge.resolver.generation
    await worker.redis.client_kill_filter(_type="pubsub")
    for client in await worker.redis.client_list():
        if client["id"] != str(await worker.redis.client_id()):
            await worker.redis.client_kill_filter(_id=client["id"])
    await edit(worker, route, target_url="https://example.com/new")
    await eventually(lambda: worker.edge.resolver.generation > generation)
    await eventually(lambda: is_told_by_all([worker], "/r/abc2345", "https://example.com/new"), TRACKED_TTL_S / 3)


async def test_a_marker_is_not_believed_while_nothing_is_heard(own_redis, new_worker, postgres_dsn):
    worker = await new_worker(redis=own_redis.url)
    await worker.complete()
    worker.edge.follower.on_disconnected()
    await insert_code(postgres_dsn, "abc2345")
    assert (await worker.get("/r/abc2345")).status == 302


async def test_domains_come_and_go_on_every_worker(workers):
    worker = workers[0]
    domain = Domain(new_id().bytes, "qr.custom")
    await worker.publish(domain_id=domain.id, target_url="https://example.com/custom")
    await worker.publish(target_url="https://example.com/default")

    async def told(location: str) -> bool:
        answers = await asyncio.gather(*(each.get("/r/abc2345", host="qr.custom") for each in workers))
        return all(answer.location == location for answer in answers)

    await remember(workers)
    assert await told("https://example.com/default")
    cache = DomainCache(worker.redis)
    for version, location in ((1, "custom"), (2, "default"), (3, "custom")):
        await cache.put_domains([domain] if location == "custom" else [], version)
        await eventually(lambda location=location: told(f"https://example.com/{location}"))


async def test_an_unknown_code_follows_its_domains_not_found_address(workers):
    domain = Domain(new_id().bytes, "qr.custom")
    cache = DomainCache(workers[0].redis)

    async def told(status: int, location: str | None) -> bool:
        answers = await asyncio.gather(*(each.get("/nosuch1", host="qr.custom") for each in workers))
        return all((answer.status, answer.location) == (status, location) for answer in answers)

    await cache.put_domains([domain], 1)
    await eventually(lambda: all(len(worker.edge.domains.custom) == 1 for worker in workers))
    for _ in range(3):
        assert await told(404, None)
    url = "https://example.com/404"
    await cache.put_domains([msgspec.structs.replace(domain, not_found_url=url)], 2)
    await eventually(lambda: told(302, url))


async def test_domains_come_from_postgres_where_redis_has_none(new_worker, postgres_dsn):
    worker = await new_worker()
    assert await worker.redis.get(DOMAINS_KEY) is None
    assert worker.edge.domains.custom == {}
    await DomainCache(worker.redis).put_domains([Domain(new_id().bytes, "qr.custom")], 1)
    await eventually(lambda: len(worker.edge.domains.custom) == 1)
    await worker.redis.delete(DOMAINS_KEY)
    await eventually(lambda: worker.edge.domains.custom == {})

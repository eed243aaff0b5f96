"""Redis is kept complete, whatever happens while everything is published."""

import asyncio

import msgspec
import pytest

from control_api.domains.publication import publish_domains
from control_api.qr_codes.publication import publish_route
from control_api.upkeep import full_publication
from control_api.upkeep.full_publication import FullPublication
from scanhop.stores.completeness import Completeness
from scanhop.stores.domains import DomainCache, DomainTable
from scanhop.stores.errors import StoreUnavailable
from scanhop.stores.postgres import Postgres
from scanhop.stores.redis import open_redis
from scanhop.stores.routes import UNREADABLE, RouteCache, RouteTable
from scanhop.wire.ids import DEFAULT_DOMAIN_ID
from scanhop.wire.redis_keys import ROUTES_PUBLISHER_KEY, route_key
from scanhop.wire.route import decode_route
from tests.codes import insert_codes, run
from tests.redis_server import RedisServer

CODES = [f"code{number}" for number in range(40)]


class Stores:
    def __init__(self, postgres, redis):
        self.redis = redis
        self.table = RouteTable(postgres)
        self.cache = RouteCache(redis)
        self.completeness = Completeness(redis)
        self._domains = (DomainTable(postgres), DomainCache(redis))
        self.began = 0
        self.now = 100.0

    def publication(self, table=None, before_marker=None):
        async def publish():
            await publish_domains(*self._domains)
            if before_marker is not None:
                await before_marker()

        def begin():
            self.began += 1

        return FullPublication(self.completeness, table or self.table, self.cache, publish, begin, lambda: self.now)

    async def is_complete(self):
        return (await self.completeness.read_standing()).is_complete

    async def held(self, code):
        data = await self.redis.get(route_key(DEFAULT_DOMAIN_ID, code))
        return None if data is None else decode_route(data)


class HeldUp:
    """A table whose reader does something between the first batch and the others."""

    def __init__(self, table, between):
        self._table = table
        self._between = between

    async def list_batches(self, size):
        batches = self._table.list_batches(size)
        yield await anext(batches)
        await self._between()
        async for batch in batches:
            yield batch


@pytest.fixture
async def postgres(postgres_dsn, monkeypatch):
    monkeypatch.setattr(full_publication, "BATCH", 10)
    client = Postgres(postgres_dsn, max_connections=4, command_timeout_s=5)
    yield client
    await client.close()


@pytest.fixture
async def stores(postgres, redis_url):
    redis = open_redis(redis_url, timeout_s=2)
    yield Stores(postgres, redis)
    await redis.aclose()


async def test_every_code_is_published_and_then_redis_is_complete(stores, postgres_dsn):
    await insert_codes(postgres_dsn, CODES)
    await stores.publication().check()
    assert await stores.is_complete()
    assert all([await stores.held(code) for code in CODES])
    assert await stores.redis.exists("domains")
    assert stores.began == 1


async def test_nothing_is_published_while_redis_is_complete(stores):
    publication = stores.publication()
    await publication.check()
    await publication.check()
    assert stores.began == 1


async def test_after_a_flush_everything_is_published_again(stores, postgres_dsn):
    await insert_codes(postgres_dsn, CODES)
    publication = stores.publication()
    await publication.check()
    await stores.redis.flushall()
    assert not await stores.is_complete()
    await publication.check()
    assert await stores.is_complete()
    assert all([await stores.held(code) for code in CODES])


async def test_publishing_everything_again_writes_nothing(stores, postgres_dsn):
    await insert_codes(postgres_dsn, CODES)
    publication = stores.publication()
    await publication.check()
    before = await stores.redis.get("published")
    await stores.completeness.withdraw_marker()
    await publication.check()
    assert await stores.redis.get("published") == before


async def test_a_row_that_cannot_be_a_route_hinders_neither_the_others_nor_the_marker(stores, postgres_dsn):
    ids = await insert_codes(postgres_dsn, CODES)
    await run(postgres_dsn, "UPDATE qr_codes SET target_url = NULL WHERE id = ANY ($1)", ids[:15])
    await stores.publication().check()
    assert await stores.is_complete()
    assert all([await stores.held(code) for code in CODES[15:]])
    assert await stores.redis.get(route_key(DEFAULT_DOMAIN_ID, CODES[0])) == UNREADABLE


async def test_a_row_that_can_no_longer_be_a_route_leaves_the_route_that_was(stores, postgres_dsn):
    [qr_id] = await insert_codes(postgres_dsn, ["menu"])
    await stores.publication().check()
    await run(postgres_dsn, "UPDATE qr_codes SET target_url = NULL, version = 2 WHERE id = $1", qr_id)
    await stores.completeness.withdraw_marker()
    await stores.publication().check()
    assert (await stores.held("menu")).version == 1


async def test_an_edit_during_a_publication_ends_with_the_newest_version(stores, postgres_dsn):
    ids = await insert_codes(postgres_dsn, CODES)

    async def edit():
        await run(postgres_dsn, "UPDATE qr_codes SET version = 2, target_url = 'https://example.com/2'")
        for qr_id in ids:
            assert await publish_route(stores.table, stores.cache, qr_id)

    await stores.publication(HeldUp(stores.table, edit)).check()
    assert await stores.is_complete()
    assert {(await stores.held(code)).version for code in CODES} == {2}


async def test_a_code_that_is_created_during_a_publication_is_there_in_the_end(stores, postgres_dsn):
    await insert_codes(postgres_dsn, CODES)

    async def create():
        [qr_id] = await insert_codes(postgres_dsn, ["fresh"])
        assert await publish_route(stores.table, stores.cache, qr_id)

    await stores.publication(HeldUp(stores.table, create)).check()
    assert await stores.is_complete()
    assert await stores.held("fresh") is not None


@pytest.mark.parametrize("moment", ["between batches", "before the marker"])
async def test_a_flush_during_a_publication_leaves_no_marker_over_what_is_missing(stores, postgres_dsn, moment):
    await insert_codes(postgres_dsn, CODES)
    flush = stores.redis.flushall
    if moment == "between batches":
        publication = stores.publication(HeldUp(stores.table, flush))
    else:
        publication = stores.publication(before_marker=flush)
    await publication.check()
    assert not await stores.is_complete()
    await stores.publication().check()
    assert await stores.is_complete()
    assert all([await stores.held(code) for code in CODES])


async def test_a_flush_at_any_moment_never_leaves_a_marker_over_what_is_missing(stores, postgres_dsn):
    await insert_codes(postgres_dsn, CODES)
    publication = stores.publication()
    for steps in range(60):
        publishing = asyncio.create_task(publication.check())
        for _ in range(steps):
            await asyncio.sleep(0.0002)
        await stores.redis.flushall()
        held = await stores.cache.list_routes([(DEFAULT_DOMAIN_ID.bytes, code) for code in CODES])
        await publishing
        if await stores.is_complete():
            held = await stores.cache.list_routes([(DEFAULT_DOMAIN_ID.bytes, code) for code in CODES])
            assert None not in held.routes
    await publication.check()
    assert await stores.is_complete()


async def test_two_workers_at_once_publish_once(stores, postgres_dsn):
    await insert_codes(postgres_dsn, CODES)
    await asyncio.gather(stores.publication().check(), stores.publication().check())
    assert stores.began == 1
    assert await stores.is_complete()


async def test_a_worker_goes_on_when_the_one_that_published_died(stores, postgres_dsn):
    await insert_codes(postgres_dsn, CODES)
    await stores.completeness.claim()
    await stores.publication().check()
    assert stores.began == 0
    await stores.redis.delete(ROUTES_PUBLISHER_KEY)  # as when it ran out
    await stores.publication().check()
    assert await stores.is_complete()


async def test_a_store_that_fails_on_the_way_leaves_no_claim_behind_and_is_given_a_pause(stores):
    async def fail():
        raise StoreUnavailable("postgres: gone")

    publication = stores.publication(before_marker=fail)
    with pytest.raises(StoreUnavailable):
        await publication.check()
    assert not await stores.redis.exists(ROUTES_PUBLISHER_KEY)
    await publication.check()
    assert stores.began == 1
    for began, pause_s in ((2, 1.0), (3, 2.0), (4, 4.0)):
        stores.now += pause_s
        with pytest.raises(StoreUnavailable):
            await publication.check()
        await publication.check()
        assert stores.began == began


async def test_an_evicting_redis_loses_its_marker_and_gets_it_back_when_it_no_longer_evicts(
    postgres, postgres_dsn, tmp_path
):
    await insert_codes(postgres_dsn, CODES)
    with RedisServer(tmp_path / "redis") as server:
        redis = open_redis(server.url, timeout_s=2)
        stores = Stores(postgres, redis)
        publication = stores.publication()
        await publication.check()
        await redis.config_set("maxmemory", "50mb")
        await redis.config_set("maxmemory-policy", "allkeys-lfu")
        await publication.check()
        assert not (await stores.completeness.read_standing()).is_marked
        await publication.check()
        assert stores.began == 1
        await redis.config_set("maxmemory-policy", "noeviction")
        await publication.check()
        assert await stores.is_complete()
        await redis.aclose()


async def test_a_restarted_redis_is_published_to_again(postgres, postgres_dsn, tmp_path):
    await insert_codes(postgres_dsn, CODES)
    with RedisServer(tmp_path / "redis") as server:
        redis = open_redis(server.url, timeout_s=2)
        stores = Stores(postgres, redis)
        publication = stores.publication()
        await publication.check()
        await asyncio.to_thread(server.kill)
        with pytest.raises(StoreUnavailable):
            await publication.check()
        await asyncio.to_thread(server.start)
        assert not await stores.is_complete()
        await publication.check()
        assert await stores.is_complete()
        assert stores.began == 2
        await redis.aclose()


async def test_a_redis_without_memory_for_every_route_gets_no_marker(postgres, postgres_dsn, tmp_path):
    await insert_codes(postgres_dsn, CODES)
    with RedisServer(tmp_path / "redis") as server:
        redis = open_redis(server.url, timeout_s=2)
        stores = Stores(postgres, redis)
        full = HeldUp(stores.table, lambda: redis.config_set("maxmemory", "1"))
        with pytest.raises(StoreUnavailable):
            await stores.publication(full).check()
        assert not await stores.is_complete()
        await redis.config_set("maxmemory", "0")
        await stores.publication().check()
        assert await stores.is_complete()
        await redis.aclose()


async def test_a_route_that_is_held_in_a_newer_version_stays(stores, postgres_dsn):
    [qr_id] = await insert_codes(postgres_dsn, ["menu"])
    route = await stores.table.find_route_by_id(qr_id)
    await stores.cache.put_if_newer(msgspec.structs.replace(route, version=9))
    await stores.publication().check()
    assert (await stores.held("menu")).version == 9

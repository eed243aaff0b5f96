from uuid import UUID

import msgspec
import pytest

from scanhop.stores.completeness import Completeness
from scanhop.stores.errors import StoreUnavailable
from scanhop.stores.postgres import Postgres
from scanhop.stores.redis import open_redis
from scanhop.stores.routes import UNREADABLE, RouteCache, RouteTable, UnreadableRow
from scanhop.wire.ids import DEFAULT_DOMAIN_ID
from scanhop.wire.redis_keys import PUBLISHED_KEY, ROUTES_COMPLETE_KEY, route_key
from scanhop.wire.route import decode_route
from tests.codes import insert_codes, run
from tests.routes import new_id, new_route


@pytest.fixture
async def redis(redis_url):
    client = open_redis(redis_url, timeout_s=1)
    yield client
    await client.aclose()


async def find_route(cache, route):
    [held] = (await cache.list_routes([(route.domain_id, route.code)])).routes
    return None if held is None else decode_route(held)


def test_replies_are_parsed_by_the_compiled_parser():
    connection = open_redis("redis://127.0.0.1/0", timeout_s=1).connection_pool.make_connection()
    assert "Hiredis" in type(connection._parser).__name__


async def test_a_newer_version_replaces_an_older_one_and_never_the_other_way(redis):
    cache, route = RouteCache(redis), new_route(version=5)
    assert await cache.put_if_newer(route)
    assert not await cache.put_if_newer(msgspec.structs.replace(route, version=4, target_url="https://example.com/4"))
    assert await cache.put_if_newer(msgspec.structs.replace(route, version=6, target_url="https://example.com/6"))
    held = await find_route(cache, route)
    assert (held.version, held.target_url) == (6, "https://example.com/6")


async def test_putting_the_same_version_again_writes_nothing(redis):
    cache, route = RouteCache(redis), new_route()
    await cache.put_if_newer(route)
    before = (await redis.info("commandstats")).get("cmdstat_set", {}).get("calls")
    assert not await cache.put_if_newer(route)
    assert (await redis.info("commandstats")).get("cmdstat_set", {}).get("calls") == before


async def test_the_same_version_in_another_format_is_replaced(redis):
    cache, route = RouteCache(redis), new_route(version=3)
    await redis.set(route_key(route.domain_id, route.code), b"\x09" + (3).to_bytes(8) + b"of another format")
    assert await find_route(cache, route) is None
    assert await cache.put_if_newer(route)


async def test_versions_beyond_32_bits_are_compared_as_numbers(redis):
    cache, route = RouteCache(redis), new_route(version=2**40)
    await cache.put_if_newer(route)
    assert not await cache.put_if_newer(msgspec.structs.replace(route, version=2**40 - 1))
    assert await cache.put_if_newer(msgspec.structs.replace(route, version=2**40 + 1))


async def test_garbage_under_a_key_is_replaced(redis):
    cache, route = RouteCache(redis), new_route()
    await redis.set(route_key(route.domain_id, route.code), b"x")
    assert await find_route(cache, route) is None
    assert await cache.put_if_newer(route)


async def test_many_routes_are_put_as_one_would_be(redis):
    cache = RouteCache(redis)
    routes = [new_route(code=f"code{number}", version=2) for number in range(300)]
    await cache.put_many_if_newer(routes[:100])
    older = msgspec.structs.replace(routes[150], version=1)
    assert await cache.put_many_if_newer([older]) == 1
    newest = msgspec.structs.replace(routes[200], version=3)
    assert await cache.put_many_if_newer([newest]) == 1
    assert await cache.put_many_if_newer(routes) == 199
    held = (await cache.list_routes([(route.domain_id, route.code) for route in routes])).routes
    assert [decode_route(data) for data in held] == [*routes[:200], newest, *routes[201:]]


async def test_each_write_is_counted_and_nothing_else_is(redis):
    cache, routes = RouteCache(redis), [new_route(code=f"code{number}") for number in range(3)]
    await cache.put_many_if_newer(routes)
    assert await redis.get(PUBLISHED_KEY) == b"3"
    await cache.put_many_if_newer(routes)
    await cache.put_if_newer(routes[0])
    assert await redis.get(PUBLISHED_KEY) == b"3"
    await cache.put_if_newer(msgspec.structs.replace(routes[0], version=2))
    await cache.mark_unreadable([UnreadableRow(routes[0].domain_id, "other", "")])
    assert await redis.get(PUBLISHED_KEY) == b"5"


async def test_a_script_that_redis_forgot_is_given_to_it_again(redis):
    cache = RouteCache(redis)
    await cache.put_if_newer(new_route(code="first"))
    await redis.script_flush()
    assert await cache.put_many_if_newer([new_route(code="second"), new_route(code="third")]) == 2


async def test_redis_is_complete_for_who_listens_to_the_server_that_the_marker_names(redis):
    cache = RouteCache(redis)
    run_id = (await Completeness(redis).read_standing()).run_id
    assert not (await cache.list_routes([(bytes(16), "nobody")])).is_complete
    await redis.set(ROUTES_COMPLETE_KEY, run_id)
    assert not (await cache.list_routes([(bytes(16), "nobody")])).is_complete
    cache.set_run_id(run_id)
    assert await cache.list_routes([(bytes(16), "nobody")]) == ([None], True)
    await redis.set(ROUTES_COMPLETE_KEY, "f" * 40)
    assert not (await cache.list_routes([(bytes(16), "nobody")])).is_complete
    await redis.delete(ROUTES_COMPLETE_KEY)
    cache.set_run_id(None)
    assert not (await cache.list_routes([(bytes(16), "nobody")])).is_complete


async def test_an_unreadable_row_leaves_the_route_it_had_and_else_bytes_that_nobody_can_decode(redis):
    cache, route = RouteCache(redis), new_route()
    await cache.put_if_newer(route)
    rows = [UnreadableRow(route.domain_id, code, "bad") for code in (route.code, "fresh")]
    assert await cache.mark_unreadable(rows) == 1
    assert await find_route(cache, route) == route
    assert (await cache.list_routes([(route.domain_id, "fresh")])).routes == [UNREADABLE]
    assert decode_route(UNREADABLE) is None
    assert await cache.put_if_newer(new_route(code="fresh"))


async def test_a_redis_that_is_away_is_unavailable():
    client = open_redis("redis://127.0.0.1:1/0", timeout_s=0.2)
    try:
        with pytest.raises(StoreUnavailable):
            await RouteCache(client).put_if_newer(new_route())
    finally:
        await client.aclose()


async def test_every_row_is_listed_in_batches_and_bad_ones_beside_them(postgres_dsn):
    ids = await insert_codes(postgres_dsn, [f"code{number}" for number in range(25)])
    await run(postgres_dsn, "UPDATE qr_codes SET target_url = NULL WHERE id = $1", ids[7])
    postgres = Postgres(postgres_dsn, max_connections=1, command_timeout_s=5)
    table = RouteTable(postgres)
    try:
        batches = [batch async for batch in table.list_batches(10)]
        assert [len(batch.routes) + len(batch.unreadable) for batch in batches] == [10, 10, 5]
        codes = {route.code for batch in batches for route in batch.routes}
        assert codes == {f"code{number}" for number in range(25) if number != 7}
        [bad] = [row for batch in batches for row in batch.unreadable]
        assert (UUID(bytes=bad.domain_id), bad.code) == (DEFAULT_DOMAIN_ID, "code7")
        assert "target_url" in bad.reason
        assert await table.find_unreadable_row(ids[7]) == bad
        assert await table.find_unreadable_row(ids[8]) is None
        assert await table.find_unreadable_row(new_id()) is None
    finally:
        await postgres.close()

import msgspec
import pytest

from scanhop.stores.errors import StoreUnavailable
from scanhop.stores.redis import open_redis
from scanhop.stores.routes import RouteCache
from scanhop.wire.redis_keys import route_key
from tests.routes import new_route


@pytest.fixture
async def redis(redis_url):
    client = open_redis(redis_url, timeout_s=1)
    yield client
    await client.aclose()


async def test_a_newer_version_replaces_an_older_one_and_never_the_other_way(redis):
    cache, route = RouteCache(redis), new_route(version=5)
    assert await cache.put_if_newer(route)
    assert not await cache.put_if_newer(msgspec.structs.replace(route, version=4, target_url="https://example.com/4"))
    assert await cache.put_if_newer(msgspec.structs.replace(route, version=6, target_url="https://example.com/6"))
    (held,) = await cache.list_routes([(route.domain_id, route.code)])
    assert (held.version, held.target_url) == (6, "https://example.com/6")


async def test_putting_the_same_version_again_writes_nothing(redis):
    cache, route = RouteCache(redis), new_route()
    await cache.put_if_newer(route)
    before = (await redis.info("commandstats")).get("cmdstat_set", {}).get("calls")
    assert not await cache.put_if_newer(route)
    assert (await redis.info("commandstats")).get("cmdstat_set", {}).get("calls") == before


async def test_the_same_version_in_another_format_is_replaced(redis):
    cache, route = RouteCache(redis), new_route(version=3)
    key = route_key(route.domain_id, route.code)
    await redis.set(key, b"\x09" + (3).to_bytes(8) + b"of another format")
    assert await cache.list_routes([(route.domain_id, route.code)]) == [None]
    assert await cache.put_if_newer(route)


async def test_versions_beyond_32_bits_are_compared_as_numbers(redis):
    cache, route = RouteCache(redis), new_route(version=2**40)
    await cache.put_if_newer(route)
    assert not await cache.put_if_newer(msgspec.structs.replace(route, version=2**40 - 1))
    assert await cache.put_if_newer(msgspec.structs.replace(route, version=2**40 + 1))


async def test_garbage_under_a_key_is_absent_and_replaced(redis):
    cache, route = RouteCache(redis), new_route()
    await redis.set(route_key(route.domain_id, route.code), b"x")
    assert await cache.list_routes([(route.domain_id, route.code)]) == [None]
    assert await cache.put_if_newer(route)


async def test_a_redis_that_is_away_is_unavailable():
    client = open_redis("redis://127.0.0.1:1/0", timeout_s=0.2)
    try:
        with pytest.raises(StoreUnavailable):
            await RouteCache(client).put_if_newer(new_route())
    finally:
        await client.aclose()

import asyncio

import pytest

from scanhop.devstack import EmbeddedStack
from scanhop.stores.errors import StoreRejected, StoreUnavailable
from scanhop.stores.redis import open_redis, redis_errors
from scanhop.stores.routes import RouteCache
from scanhop.wire.route import decode_route
from tests.routes import new_route


@pytest.fixture
async def redis(tmp_path):
    """One of its own, since it is put into trouble."""
    with EmbeddedStack(tmp_path / "redis", postgres=False, clickhouse=False) as own:
        client = open_redis(own.addresses.redis_url, timeout_s=1)
        yield client
        await client.aclose()


async def test_a_redis_without_memory_or_that_is_read_only_is_unavailable_for_now(redis):
    cache = RouteCache(redis)
    await redis.config_set("maxmemory", "1")
    with pytest.raises(StoreUnavailable):
        await cache.put_if_newer(new_route())
    with pytest.raises(StoreUnavailable), redis_errors():
        await redis.set("a", "b")
    await redis.config_set("maxmemory", "0")
    await redis.replicaof("127.0.0.1", 1)
    with pytest.raises(StoreUnavailable):
        await cache.put_if_newer(new_route())
    await redis.replicaof("NO", "ONE")
    assert await cache.put_if_newer(new_route())


async def test_what_redis_will_always_refuse_is_rejected(redis):
    await redis.set("text", "x")
    with pytest.raises(StoreRejected), redis_errors():
        await redis.incr("text")


async def test_many_calls_at_once_share_a_few_connections(redis):
    cache = RouteCache(redis)
    routes = [new_route(code=f"code{number}") for number in range(400)]
    await asyncio.gather(*(cache.put_if_newer(route) for route in routes))
    found = await asyncio.gather(*(cache.list_routes([(route.domain_id, route.code)]) for route in routes))
    assert [decode_route(answer.routes[0]) for answer in found] == routes
    assert (await redis.info("clients"))["connected_clients"] <= 20

import asyncio

import pytest

from scanhop.stores.completeness import CLAIM_S, LEASE_S, Completeness
from scanhop.stores.errors import StoreUnavailable
from scanhop.stores.redis import open_redis
from scanhop.stores.routes import RouteCache
from scanhop.wire.redis_keys import ROUTES_COMPLETE_KEY, ROUTES_EVICTIONS_KEY, ROUTES_PUBLISHER_KEY
from tests.redis_server import RedisServer
from tests.routes import new_route


@pytest.fixture
def server(tmp_path):
    with RedisServer(tmp_path / "redis") as running:
        yield running


@pytest.fixture
async def redis(server):
    client = open_redis(server.url, timeout_s=2)
    yield client
    await client.aclose()


async def complete(redis):
    """Redis is said to hold everything."""
    completeness = Completeness(redis)
    began, claim = await completeness.read_standing(), await completeness.claim()
    assert await completeness.set_marker(claim, began)
    return completeness


async def is_complete(completeness):
    return (await completeness.read_standing()).is_complete


async def test_a_marker_stands_once_everything_was_published(redis):
    assert not await is_complete(Completeness(redis))
    completeness = await complete(redis)
    assert await is_complete(completeness)
    assert not await redis.exists(ROUTES_PUBLISHER_KEY)


async def test_a_marker_falls_when_nobody_renews_it(redis):
    completeness = await complete(redis)
    assert 0 < await redis.ttl(ROUTES_COMPLETE_KEY) <= LEASE_S
    await redis.expire(ROUTES_COMPLETE_KEY, 1)
    run_id = (await completeness.read_standing()).run_id
    assert await completeness.renew_marker(run_id)
    assert await redis.ttl(ROUTES_COMPLETE_KEY) > 1
    await completeness.withdraw_marker()
    assert not await completeness.renew_marker(run_id)


@pytest.mark.parametrize("flush", ["FLUSHDB", "FLUSHALL"])
async def test_a_flush_takes_the_marker_and_the_claim_to_set_it(redis, flush):
    completeness = await complete(redis)
    began, claim = await completeness.read_standing(), await completeness.claim()
    await redis.execute_command(flush)
    assert not await is_complete(completeness)
    assert not await completeness.keep_claim(claim)
    assert not await completeness.set_marker(claim, began)
    assert not await is_complete(completeness)


async def test_one_publishes_at_a_time_and_the_next_one_when_the_first_does_not_go_on(redis):
    first, second = Completeness(redis), Completeness(redis)
    began, claim = await first.read_standing(), await first.claim()
    assert await second.claim() is None
    assert await first.keep_claim(claim)
    assert 0 < await redis.ttl(ROUTES_PUBLISHER_KEY) <= CLAIM_S
    await redis.delete(ROUTES_PUBLISHER_KEY)  # as when it ran out
    other = await second.claim()
    assert other is not None
    assert not await first.keep_claim(claim)
    assert not await first.set_marker(claim, began)
    await first.give_up_claim(claim)
    assert await second.set_marker(other, began)


async def test_a_claim_that_was_given_up_is_free(redis):
    completeness = Completeness(redis)
    await completeness.give_up_claim(await completeness.claim())
    assert await completeness.claim() is not None


async def test_a_restarted_server_has_no_marker_though_it_kept_its_keys(server, redis):
    completeness = await complete(redis)
    began, claim = await completeness.read_standing(), await completeness.claim()
    await asyncio.to_thread(server.kill)
    await asyncio.to_thread(server.start)
    await redis.connection_pool.disconnect()
    assert await redis.exists(ROUTES_COMPLETE_KEY)
    assert not await is_complete(completeness)
    assert await completeness.set_marker(claim, began)  # of the server that was
    assert not await is_complete(completeness)


async def test_a_server_that_may_evict_keys_is_never_complete(redis):
    completeness = await complete(redis)
    await redis.config_set("maxmemory", "100mb")
    assert await is_complete(completeness)
    await redis.config_set("maxmemory-policy", "allkeys-lru")
    standing = await completeness.read_standing()
    assert (standing.is_marked, standing.may_evict, standing.is_complete) == (True, True, False)


async def test_a_server_that_has_evicted_keys_since_is_not_complete_even_if_it_no_longer_may(redis):
    completeness = await complete(redis)
    began, claim = await completeness.read_standing(), await completeness.claim()
    await redis.mset({f"big{number}": bytes(1 << 20) for number in range(8)})
    await redis.config_set("maxmemory-policy", "allkeys-lru")
    await redis.config_set("maxmemory", "6mb")
    await redis.set("one more", "x")
    await redis.config_set("maxmemory", "0")
    assert (await redis.info("stats"))["evicted_keys"] > 0
    await redis.set(ROUTES_COMPLETE_KEY, began.run_id)
    await redis.set(ROUTES_EVICTIONS_KEY, began.evictions)
    assert (await completeness.read_standing()).has_evicted_since
    assert not await is_complete(completeness)
    assert not await completeness.set_marker(claim, began)


async def test_a_marker_whose_count_of_evictions_was_evicted_says_nothing(redis):
    completeness = await complete(redis)
    await redis.delete(ROUTES_EVICTIONS_KEY)
    assert not await is_complete(completeness)


async def test_a_route_that_finds_no_memory_takes_the_marker_and_the_claim(redis):
    completeness, cache = await complete(redis), RouteCache(redis)
    began, claim = await completeness.read_standing(), await completeness.claim()
    await redis.config_set("maxmemory", "1")
    with pytest.raises(StoreUnavailable):
        await cache.put_if_newer(new_route())
    await redis.config_set("maxmemory", "0")
    assert not await is_complete(completeness)
    assert not await completeness.set_marker(claim, began)

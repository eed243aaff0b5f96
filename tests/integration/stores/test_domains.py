import asyncpg
import pytest

from scanhop.stores.domains import DomainCache, DomainTable
from scanhop.stores.errors import StoreRejected, StoreUnavailable
from scanhop.stores.postgres import Postgres
from scanhop.stores.redis import open_redis
from scanhop.wire.domains import Domain
from scanhop.wire.redis_keys import DOMAINS_KEY, PUBLISHED_KEY
from tests.redis_server import RedisServer
from tests.routes import new_id

ONE = Domain(b"1" * 16, "one.example")
TWO = Domain(b"2" * 16, "two.example", is_exact=True, not_found_url="https://two.example/")


@pytest.fixture
async def redis(redis_url):
    client = open_redis(redis_url, timeout_s=1)
    yield client
    await client.aclose()


@pytest.fixture
async def postgres(postgres_dsn):
    opened = Postgres(postgres_dsn, max_connections=2, command_timeout_s=5)
    yield opened
    await opened.close()


@pytest.fixture
async def database(postgres_dsn):
    connection = await asyncpg.connect(postgres_dsn)
    yield connection
    await connection.close()


async def insert_domain(database, host, **columns):
    workspace = new_id()
    await database.execute("INSERT INTO workspaces (id, name) VALUES ($1, 'w')", workspace)
    values = {"id": new_id(), "workspace_id": workspace, "host": host} | columns
    numbers = ", ".join(f"${number}" for number in range(1, len(values) + 1))
    await database.execute(f"INSERT INTO domains ({', '.join(values)}) VALUES ({numbers})", *values.values())
    return values["id"]


async def verify(database, domain_id):
    await database.execute("UPDATE domains SET verified_at = now(), version = version + 1 WHERE id = $1", domain_id)


async def test_a_redis_without_the_set_gives_none_and_an_empty_set_is_a_set(redis):
    cache = DomainCache(redis)
    assert await cache.find_domains() is None
    assert await cache.put_domains([])
    assert await cache.find_domains() == []


async def test_a_newer_set_replaces_an_older_one_and_never_the_other_way(redis):
    cache = DomainCache(redis)
    assert await cache.put_domains([ONE], 2**40)
    assert not await cache.put_domains([], 2**40 - 1)
    assert await cache.find_domains() == [ONE]
    assert await cache.put_domains([ONE, TWO], 2**40 + 1)
    assert await cache.find_domains() == [ONE, TWO]


async def test_a_write_is_counted_and_putting_the_same_set_again_is_no_write(redis):
    cache = DomainCache(redis)
    await cache.put_domains([ONE], 1)
    assert await redis.get(PUBLISHED_KEY) == b"1"
    assert not await cache.put_domains([ONE], 1)
    assert await redis.get(PUBLISHED_KEY) == b"1"
    await cache.put_domains([TWO], 2)
    assert await redis.get(PUBLISHED_KEY) == b"2"


@pytest.mark.parametrize("garbage", [b"x", b"\x09" + (3).to_bytes(8) + b"of another format"])
async def test_what_cannot_be_read_is_absent_and_replaced(redis, garbage):
    cache = DomainCache(redis)
    await redis.set(DOMAINS_KEY, garbage)
    assert await cache.find_domains() is None
    assert await cache.put_domains([ONE], 3)
    assert await cache.find_domains() == [ONE]


async def test_the_table_lists_verified_domains_with_a_host_by_host(postgres, database):
    table = DomainTable(postgres)
    assert await table.list_domains() == []
    second = await insert_domain(database, "b.example", code_case="exact", not_found_url="https://b.example/none")
    first = await insert_domain(database, "a.example")
    await insert_domain(database, "unverified.example")
    for domain_id in (first, second):
        await verify(database, domain_id)
    assert await table.list_domains() == [
        Domain(first.bytes, "a.example"),
        Domain(second.bytes, "b.example", True, "https://b.example/none"),
    ]


async def test_the_version_of_the_set_grows_with_every_change_also_with_the_last_domain_going(postgres, database):
    table = DomainTable(postgres)
    domains, version = await table.list_domains_with_version()
    assert (domains, version) == ([], 1)
    domain_id = await insert_domain(database, "a.example")
    await verify(database, domain_id)
    domains, later = await table.list_domains_with_version()
    assert [domain.host for domain in domains] == ["a.example"]
    assert later > version
    await database.execute(
        "UPDATE domains SET verified_at = NULL, deleted_at = now(), version = version + 1 WHERE id = $1", domain_id
    )
    domains, last = await table.list_domains_with_version()
    assert domains == []
    assert last > later


async def test_an_address_that_no_header_can_hold_is_left_out(postgres, database):
    domain_id = await insert_domain(database, "a.example", not_found_url="https://a.example/\r\nX: y")
    await verify(database, domain_id)
    assert await DomainTable(postgres).list_domains() == [Domain(domain_id.bytes, "a.example")]


async def test_a_set_that_finds_no_memory_leaves_no_older_one_behind(tmp_path):
    with RedisServer(tmp_path / "redis") as server:
        client = open_redis(server.url, timeout_s=2)
        cache = DomainCache(client)
        await cache.put_domains([ONE], 1)
        await client.config_set("maxmemory", "1")
        with pytest.raises(StoreUnavailable):
            await cache.put_domains([TWO], 2)
        assert await cache.find_domains() is None
        await client.config_set("maxmemory", "0")
        assert await cache.put_domains([TWO], 2)
        await client.aclose()


async def test_stores_that_are_away_are_unavailable():
    client = open_redis("redis://127.0.0.1:1/0", timeout_s=0.2)
    postgres = Postgres("postgresql://nobody@127.0.0.1:1/none", max_connections=1, command_timeout_s=1)
    try:
        with pytest.raises(StoreUnavailable):
            await DomainCache(client).put_domains([])
        with pytest.raises(StoreUnavailable):
            await DomainCache(client).find_domains()
        with pytest.raises(StoreUnavailable):
            await DomainTable(postgres).list_domains()
    finally:
        await client.aclose()
        await postgres.close()


async def test_a_key_of_another_type_is_refused(redis):
    await redis.hset(DOMAINS_KEY, "a", "b")
    with pytest.raises(StoreRejected):
        await DomainCache(redis).find_domains()

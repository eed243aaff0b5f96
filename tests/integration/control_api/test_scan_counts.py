"""Counts of scans survive what Redis loses."""

import asyncio
import contextlib
from uuid import UUID

import clickhouse_connect
import pytest

from control_api.upkeep import scan_counts
from control_api.upkeep.counted_scans import CountedScans
from control_api.upkeep.rhythm import every
from control_api.upkeep.scan_counts import ScanCounts
from scanhop.stores.clickhouse import ClickHouse
from scanhop.stores.errors import StoreError
from scanhop.stores.postgres import Postgres
from scanhop.stores.redis import open_redis
from scanhop.stores.scan_counters import ScanCounters, ScanCountTable
from scanhop.wire.redis_keys import SCANS_DIRTY_KEY, SCANS_PERSISTING_KEY
from tests.codes import insert_codes, run
from tests.routes import new_id

AWAY_CLICKHOUSE = "http://127.0.0.1:9/"


@pytest.fixture
async def redis(redis_url):
    client = open_redis(redis_url, timeout_s=2)
    yield client
    await client.aclose()


@pytest.fixture
async def postgres(postgres_dsn):
    client = Postgres(postgres_dsn, max_connections=4, command_timeout_s=5)
    yield client
    await client.close()


@pytest.fixture
def counters(redis):
    return ScanCounters(redis)


@pytest.fixture
def table(postgres):
    return ScanCountTable(postgres)


@pytest.fixture
def counts(counters, table):
    """Without ClickHouse."""
    return ScanCounts(counters, table, None)


@pytest.fixture
async def clickhouse(clickhouse_url):
    client = ClickHouse(clickhouse_url, timeout_s=5)
    yield client
    await client.close()


async def new_codes(dsn, number, **columns):
    ids = await insert_codes(dsn, [new_id().hex for _ in range(number)], **columns)
    return [qr_id.bytes for qr_id in ids]


async def record_scans(url, dsn, qr_id, scans, **columns):
    """Rows of scans in ClickHouse, as ingest would write them."""
    [row] = await run(dsn, "SELECT workspace_id FROM qr_codes WHERE id = $1", UUID(bytes=qr_id))
    values = {"outcome": "redirect", "is_bot": False} | columns
    client = await clickhouse_connect.get_async_client(dsn=url)
    try:
        await client.query(
            "INSERT INTO qr_scan_events (workspace_id, qr_id, scanned_at, outcome, is_bot) "
            "SELECT {workspace:UUID}, {qr:UUID}, now64(3), {outcome:String}, {is_bot:Bool} "
            "FROM numbers({scans:UInt64})",
            parameters={
                "workspace": str(row["workspace_id"]),
                "qr": str(UUID(bytes=qr_id)),
                "scans": scans,
                **values,
            },
        )
    finally:
        await client.close()


async def test_counters_that_moved_are_persisted_and_then_at_rest(counters, counts, table, redis, postgres_dsn):
    ids = await new_codes(postgres_dsn, 5, max_scans=100)
    for number, qr_id in enumerate(ids):
        await counters.raise_to(qr_id, number)
        await counters.admit(qr_id, 100)
    await counts.persist()
    assert [await table.find_count(qr_id) for qr_id in ids] == [1, 2, 3, 4, 5]
    assert not await redis.exists(SCANS_DIRTY_KEY, SCANS_PERSISTING_KEY)


async def test_any_number_of_counters_is_persisted(counters, counts, table, postgres_dsn, monkeypatch):
    monkeypatch.setattr(scan_counts, "PERSIST_BATCH", 7)
    ids = await new_codes(postgres_dsn, 50, max_scans=100)
    await counters.raise_many([(qr_id, 3) for qr_id in ids])
    await counts.persist()
    assert {await table.find_count(qr_id) for qr_id in ids} == {3}


async def test_no_count_is_lost_while_postgres_is_away(counters, table, postgres_dsn):
    [qr_id] = await new_codes(postgres_dsn, 1, max_scans=100)
    away = Postgres("postgresql://nobody@127.0.0.1:1/none", max_connections=1, command_timeout_s=1)
    await counters.raise_to(qr_id, 5)
    with pytest.raises(StoreError):
        await ScanCounts(counters, ScanCountTable(away), None).persist()
    await counters.admit(qr_id, 100)
    with pytest.raises(StoreError):
        await ScanCounts(counters, ScanCountTable(away), None).persist()
    await ScanCounts(counters, table, None).persist()
    assert await table.find_count(qr_id) == 6
    await away.close()


async def test_a_counter_that_was_flushed_leaves_what_is_persisted(counters, counts, table, redis, postgres_dsn):
    [qr_id] = await new_codes(postgres_dsn, 1, max_scans=100)
    await counters.raise_to(qr_id, 5)
    await counts.persist()
    await counters.admit(qr_id, 100)
    await redis.delete(f"scans:{qr_id.hex()}")
    await counts.persist()
    assert await table.find_count(qr_id) == 5


async def test_after_a_flush_counters_come_back_from_postgres(counters, counts, redis, postgres_dsn, monkeypatch):
    monkeypatch.setattr(scan_counts, "RAISE_BATCH", 3)
    ids = await new_codes(postgres_dsn, 10, max_scans=100)
    [unlimited] = await new_codes(postgres_dsn, 1)
    await counters.raise_many([(qr_id, 4) for qr_id in [*ids, unlimited]])
    await counts.persist()
    await redis.flushall()
    await counts.raise_all()
    assert [await counters.read(qr_id) for qr_id in ids] == [4] * 10
    assert await counters.read(unlimited) is None


async def test_a_flush_lets_in_no_more_than_came_since_the_last_persist(counters, counts, redis, postgres_dsn):
    [qr_id] = await new_codes(postgres_dsn, 1, max_scans=500)
    await counters.raise_to(qr_id, 0)
    admitted, since_persist = 0, 0

    async def admit(tries):
        found = await asyncio.gather(*(counters.admit(qr_id, 500) for _ in range(tries)))
        return sum(count.is_admitted for count in found)

    for _ in range(3):
        admitted += await admit(100)
        await counts.persist()
    since_persist = await admit(60)
    admitted += since_persist
    await redis.flushall()
    assert await counters.admit(qr_id, 500) is None
    await counts.raise_all()
    admitted += await admit(1000)
    assert admitted == 500 + since_persist


async def test_persisting_all_the_time_while_scans_come_loses_none(counters, counts, table, postgres_dsn):
    ids = await new_codes(postgres_dsn, 20, max_scans=10_000)
    await counters.raise_many([(qr_id, 0) for qr_id in ids])
    persisting = asyncio.create_task(every(0, "persist", counts.persist))
    for _ in range(50):
        await asyncio.gather(*(counters.admit(qr_id, None) for qr_id in ids))
    persisting.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await persisting
    await counts.persist()
    assert {await table.find_count(qr_id) for qr_id in ids} == {50}


async def test_counters_are_raised_to_what_clickhouse_counted(
    counters, table, clickhouse, clickhouse_url, postgres_dsn
):
    lower, higher, fresh = await new_codes(postgres_dsn, 3, max_scans=100)
    counts = ScanCounts(counters, table, CountedScans(clickhouse))
    await counters.raise_to(lower, 2)
    await counters.raise_to(higher, 50)
    for qr_id in (lower, higher, fresh):
        await record_scans(clickhouse_url, postgres_dsn, qr_id, 7)
        await record_scans(clickhouse_url, postgres_dsn, qr_id, 3, is_bot=True)
        await record_scans(clickhouse_url, postgres_dsn, qr_id, 3, outcome="limit")
    await counts.raise_all()
    assert [await counters.read(qr_id) for qr_id in (lower, higher, fresh)] == [7, 50, 7]
    await counts.persist()
    assert await table.find_count(fresh) == 7


async def test_a_full_batch_is_asked_of_clickhouse_at_once(clickhouse, clickhouse_url, postgres_dsn, table):
    ids = await new_codes(postgres_dsn, scan_counts.RAISE_BATCH, max_scans=100)
    for _ in range(5):
        ids += await new_codes(postgres_dsn, 1, max_scans=100)
    await record_scans(clickhouse_url, postgres_dsn, ids[17], 9)
    codes = await table.list_limited(bytes(16), scan_counts.RAISE_BATCH)
    assert await CountedScans(clickhouse).count(codes) == {ids[17]: 9}


async def test_without_clickhouse_postgres_decides(counters, table, postgres_dsn, monkeypatch, capsys):
    monkeypatch.setattr(scan_counts, "RAISE_BATCH", 1)
    ids = await new_codes(postgres_dsn, 3, max_scans=100)
    away = ClickHouse(AWAY_CLICKHOUSE, timeout_s=1)
    await table.persist([(qr_id, 6) for qr_id in ids])
    await ScanCounts(counters, table, CountedScans(away)).raise_all()
    assert [await counters.read(qr_id) for qr_id in ids] == [6, 6, 6]
    assert capsys.readouterr().out.count("scan_counters_without_clickhouse") == 1
    await away.close()


async def test_a_code_that_gets_a_limit_later_starts_at_what_was_counted(
    counters, table, clickhouse, clickhouse_url, postgres_dsn
):
    [qr_id] = await new_codes(postgres_dsn, 1)
    counts = ScanCounts(counters, table, CountedScans(clickhouse))
    await record_scans(clickhouse_url, postgres_dsn, qr_id, 8)
    await counts.raise_one(qr_id)
    assert await counters.read(qr_id) is None
    await run(postgres_dsn, "UPDATE qr_codes SET max_scans = 5 WHERE id = $1", UUID(bytes=qr_id))
    await counts.raise_one(qr_id)
    assert await counters.read(qr_id) == 8
    assert not (await counters.admit(qr_id, 5)).is_admitted

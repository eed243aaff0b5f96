import asyncio
import subprocess
import sys

import pytest

from scanhop.stores.errors import StoreUnavailable
from scanhop.stores.postgres import Postgres
from scanhop.stores.redis import open_redis
from scanhop.stores.scan_counters import Count, ScanCounters, ScanCountTable
from scanhop.wire.redis_keys import SCANS_DIRTY_KEY, SCANS_PERSISTING_KEY, scans_key
from tests.codes import insert_codes
from tests.routes import new_id

PROCESSES = 8
TRIES = 1000
LIMIT = 500

ADMIT = """
import asyncio, sys
from scanhop.stores.redis import open_redis
from scanhop.stores.scan_counters import ScanCounters

async def main(url, qr_id, limit, tries):
    redis = open_redis(url, timeout_s=20)
    counters = ScanCounters(redis)
    counts = await asyncio.gather(*(counters.admit(qr_id, limit) for _ in range(tries)))
    await redis.aclose()
    print(sum(count.is_admitted for count in counts))

asyncio.run(main(sys.argv[1], bytes.fromhex(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])))
"""


@pytest.fixture
async def redis(redis_url):
    client = open_redis(redis_url, timeout_s=5)
    yield client
    await client.aclose()


@pytest.fixture
async def postgres(postgres_dsn):
    client = Postgres(postgres_dsn, max_connections=2, command_timeout_s=5)
    yield client
    await client.close()


async def add_codes(postgres_dsn, number, **columns):
    """The ids of new codes, as bytes."""
    ids = await insert_codes(postgres_dsn, [new_id().hex for _ in range(number)], **columns)
    return [qr_id.bytes for qr_id in ids]


async def test_a_missing_counter_is_no_zero(redis):
    counters, qr_id = ScanCounters(redis), new_id().bytes
    assert await counters.read(qr_id) is None
    assert await counters.admit(qr_id, 5) is None
    assert await counters.admit(qr_id, None) is None
    assert await counters.read(qr_id) is None


async def test_scans_are_admitted_up_to_the_limit_and_counted(redis):
    counters, qr_id = ScanCounters(redis), new_id().bytes
    await counters.raise_to(qr_id, 0)
    counts = [await counters.admit(qr_id, 2) for _ in range(3)]
    assert counts == [Count(0, True), Count(1, True), Count(2, False)]
    assert await counters.read(qr_id) == 2
    assert await counters.admit(qr_id, 3) == Count(2, True)


async def test_without_a_limit_every_scan_is_counted(redis):
    counters, qr_id = ScanCounters(redis), new_id().bytes
    await counters.raise_to(qr_id, 2**40)
    assert await counters.admit(qr_id, None) == Count(2**40, True)
    assert await counters.read(qr_id) == 2**40 + 1


async def test_a_counter_is_raised_and_never_lowered(redis):
    counters, qr_id = ScanCounters(redis), new_id().bytes
    assert await counters.raise_to(qr_id, 7)
    assert not await counters.raise_to(qr_id, 6)
    assert not await counters.raise_to(qr_id, 7)
    assert await counters.read(qr_id) == 7
    others = [(new_id().bytes, 3), (qr_id, 8), (new_id().bytes, 0)]
    assert await counters.raise_many([*others, (qr_id, 5)]) == 3
    assert [await counters.read(other) for other, _ in others] == [3, 8, 0]


async def test_text_that_is_no_number_is_no_counter(redis):
    counters, qr_id = ScanCounters(redis), new_id().bytes
    await redis.set(scans_key(qr_id), "many")
    assert await counters.read(qr_id) is None
    assert await counters.admit(qr_id, 5) is None
    assert await counters.raise_to(qr_id, 1)
    assert await counters.admit(qr_id, 5) == Count(1, True)


async def test_processes_at_once_admit_exactly_the_limit(redis, redis_url):
    counters, qr_id = ScanCounters(redis), new_id().bytes
    await counters.raise_to(qr_id, 0)
    argv = [sys.executable, "-c", ADMIT, redis_url, qr_id.hex(), str(LIMIT), str(TRIES)]
    runs = [asyncio.to_thread(subprocess.run, argv, stdout=subprocess.PIPE, check=True) for _ in range(PROCESSES)]
    assert sum(int(run.stdout) for run in await asyncio.gather(*runs)) == LIMIT
    assert await counters.read(qr_id) == LIMIT


async def test_counters_that_moved_are_listed_until_they_are_settled(redis):
    counters, ids = ScanCounters(redis), [new_id().bytes for _ in range(5)]
    for number, qr_id in enumerate(ids):
        await counters.raise_to(qr_id, number)
    assert sorted(await counters.list_moved(10)) == sorted((qr_id, number) for number, qr_id in enumerate(ids))
    assert len(await counters.list_moved(2)) == 2
    await counters.settle(ids[:4])
    assert await counters.list_moved(10) == [(ids[4], 4)]
    await counters.settle(ids[4:])
    assert await counters.list_moved(10) == []


async def test_a_counter_that_moves_while_it_is_persisted_is_listed_again(redis):
    counters, qr_id = ScanCounters(redis), new_id().bytes
    await counters.raise_to(qr_id, 1)
    assert await counters.list_moved(10) == [(qr_id, 1)]
    await counters.admit(qr_id, None)
    await counters.settle([qr_id])
    assert await counters.list_moved(10) == [(qr_id, 2)]


async def test_a_refused_scan_moves_nothing(redis):
    counters, qr_id = ScanCounters(redis), new_id().bytes
    await counters.raise_to(qr_id, 1)
    await counters.list_moved(10)
    await counters.settle([qr_id])
    assert not (await counters.admit(qr_id, 1)).is_admitted
    assert not await redis.exists(SCANS_DIRTY_KEY, SCANS_PERSISTING_KEY)


async def test_a_counter_that_was_flushed_after_it_moved_is_listed_without_a_count(redis):
    counters, qr_id = ScanCounters(redis), new_id().bytes
    await counters.raise_to(qr_id, 1)
    await redis.delete(scans_key(qr_id))
    assert await counters.list_moved(10) == [(qr_id, None)]


async def test_a_persisted_count_never_goes_back(postgres, postgres_dsn):
    table, [qr_id] = ScanCountTable(postgres), await add_codes(postgres_dsn, 1)
    assert await table.find_count(qr_id) == 0
    for scans in (5, 3, 6, 6):
        await table.persist([(qr_id, scans)])
    assert await table.find_count(qr_id) == 6


async def test_a_code_that_does_not_exist_hinders_no_other(postgres, postgres_dsn):
    table, [qr_id] = ScanCountTable(postgres), await add_codes(postgres_dsn, 1)
    await table.persist([(new_id().bytes, 4), (qr_id, 4)])
    assert await table.find_count(qr_id) == 4


async def test_limited_codes_have_a_limit_or_a_rule_on_scans(postgres, postgres_dsn):
    table = ScanCountTable(postgres)
    limits = await add_codes(postgres_dsn, 3, max_scans=10)
    with_rule = '[{"when": [{"field": "device"}, {"field": "scans", "op": "gte", "value": 3}]}]'
    rules = await add_codes(postgres_dsn, 2, rules=with_rule)
    other = '[{"when": [{"field": "device", "op": "in", "value": ["scans"]}]}]'
    [unlimited] = await add_codes(postgres_dsn, 1, rules=other)
    await table.persist([(limits[1], 7)])
    expected = [(qr_id, 7 if qr_id == limits[1] else 0) for qr_id in sorted([*limits, *rules])]
    first = await table.list_limited(bytes(16), 3)
    rest = await table.list_limited(first[-1].qr_id, 3)
    assert [(code.qr_id, code.scans) for code in [*first, *rest]] == expected
    assert await table.list_limited(rest[-1].qr_id, 3) == []
    assert await table.find_limited(limits[1]) == next(code for code in [*first, *rest] if code.qr_id == limits[1])
    assert await table.find_limited(unlimited) is None
    assert await table.find_limited(new_id().bytes) is None


async def test_a_redis_that_is_away_is_unavailable():
    client = open_redis("redis://127.0.0.1:1/0", timeout_s=0.2)
    try:
        with pytest.raises(StoreUnavailable):
            await ScanCounters(client).admit(bytes(16), 1)
    finally:
        await client.aclose()

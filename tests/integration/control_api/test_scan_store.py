"""What every statement on scans runs under, as ClickHouse tells it."""

import orjson
import pytest

from control_api.analytics.scan_store import ScanStore
from scanhop.stores.clickhouse import ClickHouse

NAMES = ("max_execution_time", "max_memory_usage", "max_rows_to_read")
SETTINGS = "SELECT " + ", ".join(f"toUInt64(getSetting('{name}')) AS {name}" for name in NAMES)


@pytest.fixture
async def store(clickhouse_url):
    clickhouse = ClickHouse(clickhouse_url, timeout_s=10)
    yield ScanStore(clickhouse)
    await clickhouse.close()


async def test_every_question_is_bounded_in_time_memory_and_rows(store):
    bounds = (10, 1 << 30, 500_000_000)
    assert [tuple(row) for row in await store.list_rows(SETTINGS, {})] == [bounds]
    assert await store.list_objects(SETTINGS, {}) == [dict(zip(NAMES, bounds, strict=True))]


async def test_an_export_is_bounded_too(store):
    async with store.stream(SETTINGS, {}, "JSONEachRow") as chunks:
        [line] = (b"".join([chunk async for chunk in chunks])).splitlines()
    assert list(orjson.loads(line).values()) == [3600, 2 << 30, 500_000_000]

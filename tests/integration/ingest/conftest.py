import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import clickhouse_connect
import pytest

from ingest.collector import Collector
from ingest.process import build_collector
from scanhop.settings import Settings
from scanhop.spool import SpoolLimits, SpoolWriter
from scanhop.stores.clickhouse import ClickHouse
from scanhop.stores.postgres import Postgres
from tests.faulty_proxy import FaultyProxy
from tests.integration.ingest.collecting import Rows

LIMITS = SpoolLimits(max_bytes=1 << 30, max_age_s=0)


@pytest.fixture
def settings(postgres_dsn: str, clickhouse_url: str, spool_root: Path) -> Settings:
    return Settings(
        postgres_dsn=postgres_dsn,
        clickhouse_url=clickhouse_url,
        spool_dir=spool_root,
        trusted_proxies=("192.0.2.0/24",),
    )


@pytest.fixture
async def new_collector(settings: Settings) -> AsyncIterator[Callable[..., Collector]]:
    """Builds collectors of the test's spool: of one process after the other."""
    async with contextlib.AsyncExitStack() as stack:

        def build(clickhouse_url: str | None = None, timeout_s: int = 30) -> Collector:
            postgres = Postgres(settings.postgres_dsn, max_connections=1, command_timeout_s=5)
            clickhouse = ClickHouse(clickhouse_url or settings.clickhouse_url, timeout_s=timeout_s)
            stack.push_async_callback(postgres.close)
            stack.push_async_callback(clickhouse.close)
            return build_collector(settings, postgres, clickhouse)

        yield build


@pytest.fixture
def collector(new_collector: Callable[..., Collector]) -> Collector:
    return new_collector()


@pytest.fixture
def spool(spool_root: Path):
    writer = SpoolWriter(spool_root, LIMITS)
    yield writer
    with contextlib.suppress(OSError):
        writer.close()


@pytest.fixture
async def rows(clickhouse_url: str) -> AsyncIterator[Rows]:
    client = await clickhouse_connect.get_async_client(dsn=clickhouse_url)

    async def select(statement: str) -> list[tuple[object, ...]]:
        return [tuple(row) for row in (await client.query(statement)).result_rows]

    yield select
    await client.close()


@pytest.fixture
async def proxy(clickhouse_url: str) -> AsyncIterator[FaultyProxy]:
    async with FaultyProxy(clickhouse_url) as running:
        yield running

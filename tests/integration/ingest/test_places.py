"""Where scans come from, from the spool to the rollups, on the real engine."""

from pathlib import Path

import clickhouse_connect
import pytest
from structlog.testing import capture_logs

from ingest.process import build_collector
from scanhop.settings import Settings
from scanhop.spool import SpoolLimits, SpoolWriter
from scanhop.stores.clickhouse import ClickHouse
from scanhop.stores.postgres import Postgres
from scanhop.wire.scan_record import Outcome
from tests.routes import new_route, write_scan
from tests.unit.client_facts.mmdb import flat, maxmind, write_mmdb

VIENNA = {"192.0.2.0/24": maxmind("AT", "Vienna", "Vienna")}
MUNICH = {"192.0.2.0/24": flat("DE", "Bavaria", "M\u00fcnchen")}


@pytest.fixture
def geoip_path(tmp_path: Path) -> Path:
    return tmp_path / "city.mmdb"


@pytest.fixture
def spool(spool_root):
    writer = SpoolWriter(spool_root, SpoolLimits(max_bytes=1 << 30, max_age_s=0))
    yield writer
    writer.close()


@pytest.fixture
async def collector(postgres_dsn, clickhouse_url, spool_root, geoip_path, monkeypatch):
    monkeypatch.setattr("scanhop.client_facts.geo.CHECK_EVERY_S", 0.0)
    settings = Settings(
        postgres_dsn=postgres_dsn, clickhouse_url=clickhouse_url, spool_dir=spool_root, geoip_path=geoip_path
    )
    postgres = Postgres(postgres_dsn, max_connections=1, command_timeout_s=5)
    clickhouse = ClickHouse(clickhouse_url, timeout_s=30)
    yield build_collector(settings, postgres, clickhouse)
    await clickhouse.close()
    await postgres.close()


@pytest.fixture
async def rows(clickhouse_url):
    client = await clickhouse_connect.get_async_client(dsn=clickhouse_url)

    async def select(statement: str) -> list[tuple[object, ...]]:
        return [tuple(row) for row in (await client.query(statement)).result_rows]

    yield select
    await client.close()


async def scan(collector, spool: SpoolWriter, outcome: Outcome = Outcome.REDIRECT) -> None:
    """One of 192.0.2.7, into ClickHouse."""
    write_scan(spool, new_route(), outcome)
    spool.seal_if_due()
    assert await collector.collect() == 1


@pytest.mark.parametrize(
    ("records", "place"), [(VIENNA, ("AT", "Vienna", "Vienna")), (MUNICH, ("DE", "Bavaria", "M\u00fcnchen"))]
)
async def test_a_row_says_where_the_scan_came_from(collector, spool, rows, geoip_path, records, place):
    write_mmdb(geoip_path, records)
    await scan(collector, spool)
    assert await rows("SELECT country, region, city FROM qr_scan_events") == [place]


async def test_countries_are_rolled_up_for_counted_scans_only(collector, spool, rows, geoip_path):
    write_mmdb(geoip_path, VIENNA)
    await scan(collector, spool)
    await scan(collector, spool)
    await scan(collector, spool, Outcome.HEAD)
    assert await rows("SELECT sumMap(countries) FROM daily_aggregates") == [({"AT": 2},)]


async def test_a_database_that_comes_later_and_one_that_takes_its_place_are_read_from_then_on(
    collector, spool, rows, geoip_path
):
    await scan(collector, spool)
    write_mmdb(geoip_path, VIENNA)
    await scan(collector, spool)
    write_mmdb(geoip_path, MUNICH)
    await scan(collector, spool)
    geoip_path.unlink()
    await scan(collector, spool)
    assert await rows("SELECT country FROM qr_scan_events ORDER BY scanned_at") == [("",), ("AT",), ("DE",), ("",)]


@pytest.mark.parametrize(
    ("content", "event"),
    [(None, "geoip_missing"), (b"nonsense", "geoip_broken"), (b"\0" * 100_000, "geoip_broken")],
)
async def test_without_a_usable_database_places_stay_empty_and_one_line_says_so(
    collector, spool, rows, geoip_path, content, event
):
    if content is not None:
        geoip_path.write_bytes(content)
    with capture_logs() as lines:
        await scan(collector, spool)
        await scan(collector, spool)
    assert await rows("SELECT DISTINCT country, region, city FROM qr_scan_events") == [("", "", "")]
    assert [line["event"] for line in lines if line["event"].startswith("geoip")] == [event]

"""`scanhop ingest`: the collector as a process of its own."""

import asyncio
import ctypes
import gc
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, date, datetime

from ingest.collector import Collector
from ingest.enrichment import Enrichment
from ingest.freezer import Freezer
from ingest.loader import Loader
from ingest.metrics import IngestMetrics, MetricsServer
from ingest.visitors import Visitors
from scanhop.client_facts.geo import GeoReader
from scanhop.settings import Settings, require
from scanhop.stores.clickhouse import ClickHouse
from scanhop.stores.postgres import Postgres
from scanhop.stores.salts import SaltTable
from scanhop.telemetry.logs import configure_logs, get_logger

CLICKHOUSE_TIMEOUT_S = 60
POSTGRES_TIMEOUT_S = 5.0
CACHED_PLACES = 200_000
M_MMAP_THRESHOLD, LARGE_BLOCK = -3, 256 << 10  # malloc.h


def tune_memory() -> None:
    """For a process that makes and drops blocks of 20 MB and keeps millions of small objects.

    glibc would keep the large blocks among the small objects, and could not give them back; the collector of cycles
    would walk over every batch, in which there are none.
    """
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(M_MMAP_THRESHOLD, LARGE_BLOCK)
    gc.freeze()
    gc.set_threshold(100_000, 10, 10)


class MetricsNotServed(Exception):
    """The address cannot be had; the message says why."""


def run_ingest(settings: Settings) -> None:
    """Runs until SIGTERM or SIGINT, then takes what is sealed by then. Raises InvalidSettings, MetricsNotServed."""
    configure_logs("ingest", settings.log_level)
    tune_memory()
    postgres_dsn, clickhouse_url = require(settings, "postgres_dsn"), require(settings, "clickhouse_url")
    asyncio.run(_run(settings, postgres_dsn, clickhouse_url))


async def _run(settings: Settings, postgres_dsn: str, clickhouse_url: str) -> None:
    postgres = Postgres(postgres_dsn, max_connections=1, command_timeout_s=POSTGRES_TIMEOUT_S)
    clickhouse = ClickHouse(clickhouse_url, timeout_s=CLICKHOUSE_TIMEOUT_S)
    collector = build_collector(settings, postgres, clickhouse)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, collector.stop)
    get_logger().info("ingest_started", spool=str(settings.spool_root))
    try:
        with _metrics_of(collector, settings):
            await collector.run()
    finally:
        await clickhouse.close()
        await postgres.close()


@contextmanager
def _metrics_of(collector: Collector, settings: Settings) -> Iterator[None]:
    bind = settings.ingest_metrics_bind
    if bind is None:
        yield
        return
    try:
        metrics = IngestMetrics(settings.spool_root, collector.figures, collector.freezer)
        server = MetricsServer(bind, metrics)
    except OSError as error:
        raise MetricsNotServed(f"ingest cannot show its metrics on {bind}: {error.strerror or error}") from error
    with server:
        get_logger().info("metrics_served", address=f"{bind.host}:{server.port}")
        yield


def build_collector(settings: Settings, postgres: Postgres, clickhouse: ClickHouse) -> Collector:
    salts = SaltTable(postgres)

    async def read_salts() -> Mapping[date, bytes]:
        return await salts.ensure_salts(datetime.now(UTC))

    root = settings.spool_root
    visitors = Visitors(read_salts)
    geo_reader = GeoReader(settings.geoip_path, cached_places=CACHED_PLACES)
    enrichment = Enrichment(visitors, settings.trusted_proxies, settings.ip_storage, geo_reader)
    return Collector(root, Freezer(root, enrichment), Loader(clickhouse), visitors)

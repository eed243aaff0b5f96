"""One edge worker: serves the inherited listening socket until SIGTERM, then finishes what it has begun.

It tells its supervisor that it is ready when it serves, with the snapshot read. SIGHUP is for the supervisor alone.
"""

import asyncio
import signal
import socket
from collections.abc import Sequence
from dataclasses import dataclass

from edge.app import Edge
from edge.fast_path import MAX_CONNECTIONS
from edge.hot_path import IS_COMPILED
from edge.pages import Brand
from edge.resources import freeze_when_warm
from edge.snapshot import RouteSnapshot, restore
from edge.worker_metrics import Siblings
from scanhop.client_facts.device import DeviceReader
from scanhop.client_facts.geo import GeoReader
from scanhop.client_facts.request_facts import FactReaders
from scanhop.serving import Served, connections_within, raise_file_limit, run_on_loop, serve
from scanhop.settings import Settings, derived_secret, require
from scanhop.spool import BoundedWriter, SpoolLimits, SpoolWriter
from scanhop.stores.invalidations import Invalidations
from scanhop.stores.postgres import Postgres
from scanhop.stores.redis import open_redis
from scanhop.supervisor import tell_ready
from scanhop.telemetry.logs import configure_logs, get_logger

REDIS_TIMEOUT_S = 0.25
POSTGRES_CONNECTIONS = 4
POSTGRES_TIMEOUT_S = 3.0
LAST_SNAPSHOT_S = 3.0
ROUTES_FOLDER = "routes"


@dataclass(frozen=True)
class Inherited:
    """The sockets that all workers share. `siblings`: where each tells its metrics; empty where one is alone."""

    listen: socket.socket
    metrics: socket.socket | None = None
    siblings: Sequence[socket.socket] = ()


def run_worker(settings: Settings, worker: int, sockets: Inherited) -> None:
    """Raises OSError when the spool cannot be written."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    configure_logs("edge", settings.log_level, may_wait=False)
    run_on_loop(_serve(settings, worker, sockets))


async def _serve(settings: Settings, worker: int, sockets: Inherited) -> None:
    limits = SpoolLimits(settings.spool_max_bytes, settings.spool_fsync_ms / 1000)
    spool = BoundedWriter(SpoolWriter(settings.spool_root, limits))
    redis_url = require(settings, "redis_url")
    redis = open_redis(redis_url, timeout_s=REDIS_TIMEOUT_S)
    postgres = Postgres(
        require(settings, "postgres_dsn"),
        max_connections=POSTGRES_CONNECTIONS,
        command_timeout_s=POSTGRES_TIMEOUT_S,
    )
    edge = Edge(
        worker,
        redis,
        postgres,
        spool,
        _fact_readers(settings),
        Brand(settings.brand_name, settings.brand_color),
        Invalidations(redis_url),
        with_metrics=sockets.metrics is None,
        siblings=Siblings(worker, sockets.siblings),
        max_connections=connections_within(raise_file_limit(), MAX_CONNECTIONS),
    )
    folder = settings.data_dir / ROUTES_FOLDER
    restore(folder, edge.cache, edge.domains, edge.redirector.build_entry)
    snapshot = RouteSnapshot(folder, worker, settings.edge_workers, edge.cache, edge.domains)
    get_logger().info(
        "edge_worker_started",
        worker=worker,
        spool=str(spool.spool_id),
        hot_path="compiled" if IS_COMPILED else "plain",
    )
    running = [asyncio.create_task(edge.run()), asyncio.create_task(freeze_when_warm())]
    keeping = asyncio.create_task(snapshot.keep())
    served = [Served(edge.app, sockets.listen, edge.connections.new_connection)]
    if sockets.metrics is not None:
        served.append(Served(edge.metrics_app(), sockets.metrics))
    try:
        await serve(*served, on_ready=tell_ready, on_drain=edge.drain)
    finally:
        for task in running:
            task.cancel()
        spool.close()
        snapshot.stop()
        await asyncio.wait([keeping], timeout=LAST_SNAPSHOT_S)
        await redis.aclose()
        await postgres.close()


def _fact_readers(settings: Settings) -> FactReaders:
    return FactReaders(
        settings.trusted_proxies,
        DeviceReader(),
        GeoReader(settings.geoip_path),
        derived_secret(settings, "variants"),
    )

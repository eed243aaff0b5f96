"""One edge worker: serves the inherited listening socket until SIGTERM, then finishes what it has begun."""

import asyncio
import socket

from edge.app import Edge
from scanhop.serving import run_on_loop, serve
from scanhop.settings import Settings, require
from scanhop.spool import SpoolLimits, SpoolWriter
from scanhop.stores.postgres import Postgres
from scanhop.stores.redis import open_redis
from scanhop.telemetry.logs import configure_logs, get_logger

REDIS_TIMEOUT_S = 0.25
POSTGRES_CONNECTIONS = 4
POSTGRES_TIMEOUT_S = 3.0
SEAL_TICK_S = 0.05


def run_worker(settings: Settings, worker: int, listen: socket.socket, metrics: socket.socket | None) -> None:
    """`listen` and `metrics` are inherited. Raises OSError when the spool cannot be written."""
    configure_logs("edge", settings.log_level)
    run_on_loop(_serve(settings, worker, listen, metrics))


async def _serve(settings: Settings, worker: int, listen: socket.socket, metrics: socket.socket | None) -> None:
    limits = SpoolLimits(settings.spool_max_bytes, settings.spool_fsync_ms / 1000)
    spool = SpoolWriter(settings.spool_root, limits)
    redis = open_redis(require(settings, "redis_url"), timeout_s=REDIS_TIMEOUT_S)
    postgres = Postgres(
        require(settings, "postgres_dsn"),
        max_connections=POSTGRES_CONNECTIONS,
        command_timeout_s=POSTGRES_TIMEOUT_S,
    )
    edge = Edge(worker, redis, postgres, spool)
    get_logger().info("edge_worker_started", worker=worker, spool=str(spool.spool_id))
    sealing = asyncio.create_task(_seal_by_age(spool))
    try:
        if metrics is None:
            await serve((edge.public_app(with_metrics=True), listen))
        else:
            await serve((edge.public_app(with_metrics=False), listen), (edge.metrics_app(), metrics))
    finally:
        sealing.cancel()
        spool.close()
        await redis.aclose()
        await postgres.close()


async def _seal_by_age(spool: SpoolWriter) -> None:
    while True:
        await asyncio.sleep(SEAL_TICK_S)
        try:
            spool.seal_if_due()
        except OSError as error:
            get_logger().error("spool_not_sealed", error=str(error))

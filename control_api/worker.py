"""`scanhop worker`: the jobs on the Postgres queue, and those that come by the clock.

Jobs: `publish_route` puts a code's route into Redis, should the API not have managed to. By the clock: the visitor
salts of today and tomorrow are made, old ones deleted.

Several workers may run; the queue gives a job to one of them, and each job may be repeated without harm. When
Postgres is away the worker waits and connects anew. A job whose store is away is tried again, with growing pauses,
for as long as it takes; one that can never succeed is kept as failed.
"""

import asyncio
import signal
from collections.abc import Awaitable
from datetime import UTC, datetime, timedelta

import asyncpg
from pgqueuer import PgQueuer
from pgqueuer.errors import RetryRequested
from pgqueuer.models import Job, Schedule

from control_api.qr_codes.publication import PUBLISH_ROUTE, parse_publication, publish_route
from scanhop.settings import Settings, require
from scanhop.stores.errors import StoreError
from scanhop.stores.postgres import CONNECT_TIMEOUT_S, MENDABLE, UNAVAILABLE, Postgres
from scanhop.stores.redis import open_redis
from scanhop.stores.routes import RouteCache, RouteTable
from scanhop.stores.salts import SaltTable
from scanhop.telemetry.logs import configure_logs, get_logger

REDIS_TIMEOUT_S = 2.0
POSTGRES_TIMEOUT_S = 10.0
RECONNECT_S = 1.0
POLL = timedelta(seconds=5)
HEARTBEAT = timedelta(seconds=10)
DRAIN_S = 8.0
LONGEST_RETRY_S = 60.0

_log = get_logger()


class Jobs:
    """What the worker does."""

    def __init__(self, routes: RouteTable, cache: RouteCache, salts: SaltTable) -> None:
        self._routes = routes
        self._cache = cache
        self._salts = salts

    def register(self, queue: PgQueuer) -> None:
        queue.entrypoint(PUBLISH_ROUTE, on_failure="hold")(self.publish)
        queue.schedule("rotate_salts", "*/15 * * * *")(self.rotate_salts_by_clock)

    async def publish(self, job: Job) -> None:
        qr_id = parse_publication(job.payload)
        written = await _retrying(job.attempts, publish_route(self._routes, self._cache, qr_id))
        _log.info("route_published", qr_id=str(qr_id), written=written)

    async def rotate_salts_by_clock(self, schedule: Schedule) -> None:
        await self.rotate_salts()

    async def rotate_salts(self) -> None:
        now = datetime.now(UTC)
        await self._salts.ensure_salts(now)
        await self._salts.delete_old_salts(now)


async def _retrying(attempts: int, work: Awaitable[bool]) -> bool:
    """A store that is away, or refuses, asks the queue for another try: an edit must reach Redis in the end."""
    try:
        return await work
    except StoreError as error:
        delay = min(0.5 * 2 ** min(attempts, 10), LONGEST_RETRY_S)
        raise RetryRequested(timedelta(seconds=delay), str(error)) from error


def run_worker(settings: Settings) -> None:
    """Runs until SIGTERM or SIGINT, then finishes the jobs at hand. Raises InvalidSettings."""
    configure_logs("worker", settings.log_level)
    require(settings, "postgres_dsn")
    require(settings, "redis_url")
    asyncio.run(_run(settings))


async def _run(settings: Settings) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    dsn = require(settings, "postgres_dsn")
    postgres = Postgres(dsn, max_connections=4, command_timeout_s=POSTGRES_TIMEOUT_S)
    redis = open_redis(require(settings, "redis_url"), timeout_s=REDIS_TIMEOUT_S)
    jobs = Jobs(RouteTable(postgres), RouteCache(redis), SaltTable(postgres))
    try:
        await _work(dsn, jobs, stopping)
    finally:
        await redis.aclose()
        await postgres.close()


async def _work(dsn: str, jobs: Jobs, stopping: asyncio.Event) -> None:
    while not stopping.is_set():
        try:
            await _work_connected(dsn, jobs, stopping)
        except (StoreError, *UNAVAILABLE, *MENDABLE) as error:
            _log.warning("worker_waits", error=str(error) or type(error).__name__)
            await _pause(stopping)


async def _work_connected(dsn: str, jobs: Jobs, stopping: asyncio.Event) -> None:
    """Until asked to stop, or until the connection is lost."""
    connection = await asyncpg.connect(dsn, timeout=CONNECT_TIMEOUT_S, command_timeout=POSTGRES_TIMEOUT_S)
    try:
        await jobs.rotate_salts()
        queue = PgQueuer.from_asyncpg_connection(connection)
        jobs.register(queue)
        connection.add_termination_listener(lambda _: queue.shutdown.set())
        _log.info("worker_started")
        await _run_until_stopped(queue, stopping)
    finally:
        connection.terminate()


async def _run_until_stopped(queue: PgQueuer, stopping: asyncio.Event) -> None:
    """Asked to stop, jobs at hand are finished within DRAIN_S; the queue gives others to the next worker."""
    running = asyncio.create_task(queue.run(dequeue_timeout=POLL, heartbeat_timeout=HEARTBEAT))
    asked = asyncio.create_task(stopping.wait())
    await asyncio.wait([running, asked], return_when=asyncio.FIRST_COMPLETED)
    asked.cancel()
    queue.shutdown.set()
    try:
        async with asyncio.timeout(DRAIN_S):
            await running
    except TimeoutError:
        _log.warning("drain_cut_off", after_s=DRAIN_S)


async def _pause(stopping: asyncio.Event) -> None:
    try:
        await asyncio.wait_for(stopping.wait(), RECONNECT_S)
    except TimeoutError:
        return

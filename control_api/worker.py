"""`scanhop worker`: the jobs on the Postgres queue, and those that come by the clock.

Jobs: `publish_route` puts a code's route into Redis, should the API not have managed to, and sees to the counter of a
code whose scans are limited; `publish_routes` does it for many; `publish_domains` does the same for the verified
domains; `reconcile` holds scans and rollups against each other. By the clock: the visitor salts of today and tomorrow
are made, old ones deleted; Redis is kept complete, counts of scans are persisted and mended, scheduled changes of
codes are applied, once a day `reconcile` is enqueued (`control_api.upkeep`), idempotency records that are too old
are deleted. Credits are granted, expired, charged for scans and proven, and what has ended of identity is
deleted, by jobs of the clock (`control_api.jobs.schedule`).

Several workers may run; the queue gives a job to one of them, and each job may be repeated without harm. When
Postgres is away the worker waits and connects anew. A job whose store is away is tried again, with growing pauses,
for as long as it takes; one that can never succeed is kept as failed. A route that does not get into Redis in
WITHDRAW_AFTER tries withdraws the marker that says everything is there. Without ClickHouse nothing here stops.
"""

import asyncio
import signal
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg
from pgqueuer import PgQueuer
from pgqueuer.errors import RetryRequested
from pgqueuer.models import Job, Schedule
from pgqueuer.queries import Queries

from control_api.audit.trail import AuditTrail
from control_api.clock import utc_now
from control_api.credits.clock_jobs import list_credit_jobs
from control_api.domains.publication import PUBLISH_DOMAINS, publish_domains
from control_api.domains.repository import DomainRepository
from control_api.domains.service import Domains
from control_api.idempotency.repository import delete_old_records
from control_api.identity.cleanup import Cleanup
from control_api.jobs.repository import JobRepository
from control_api.jobs.schedule import ClockJob, ClockJobs
from control_api.qr_codes.change_code import CodeChanges
from control_api.qr_codes.password import PasswordMill
from control_api.qr_codes.publication import (
    PUBLISH_ROUTE,
    PUBLISH_ROUTES,
    parse_publication,
    parse_publications,
    publish_route,
    publish_routes,
)
from control_api.qr_codes.repository import QrCodeRepository
from control_api.qr_codes.scheduling import ScheduledChanges
from control_api.qr_codes.target_policy import TargetPolicy
from control_api.qr_codes.versions import VersionWriter
from control_api.settings import public_url_from
from control_api.upkeep import counted_scans
from control_api.upkeep.counted_scans import CountedScans
from control_api.upkeep.daily_reconcile import AGAIN, AT, RECONCILE, DailyReconcile, enqueue_reconcile
from control_api.upkeep.full_publication import FullPublication
from control_api.upkeep.rhythm import every
from control_api.upkeep.scan_counts import ScanCounts
from scanhop.rollups.reconciliation import Reconciliation
from scanhop.rollups.statements import TIMEOUT_S as RECONCILE_TIMEOUT_S
from scanhop.rollups.statements import Statements
from scanhop.routing.compilation import UncompilableRoute
from scanhop.routing.decision import is_counted
from scanhop.settings import Settings, require
from scanhop.stores.clickhouse import ClickHouse
from scanhop.stores.completeness import Completeness
from scanhop.stores.domains import DomainCache, DomainTable
from scanhop.stores.errors import StoreError
from scanhop.stores.postgres import CONNECT_TIMEOUT_S, MENDABLE, UNAVAILABLE, Postgres
from scanhop.stores.redis import Redis, open_redis
from scanhop.stores.routes import RouteCache, RouteTable
from scanhop.stores.salts import SaltTable
from scanhop.stores.scan_counters import ScanCounters, ScanCountTable
from scanhop.telemetry.logs import configure_logs, get_logger

REDIS_TIMEOUT_S = 2.0
POSTGRES_TIMEOUT_S = 10.0
POSTGRES_CONNECTIONS = 8
RECONNECT_S = 1.0
POLL = timedelta(seconds=5)
HEARTBEAT = timedelta(seconds=10)
DRAIN_S = 8.0
LONGEST_RETRY_S = 60.0
WITHDRAW_AFTER = 2
CHECK_S = 1.0
PERSIST_S = 1.0
SCHEDULED_S = 0.5
RAISE_COUNTERS_S = 60.0
DELETE_RECORDS_S = 600.0

_log = get_logger()


class Jobs:
    """What the queue hands to this worker."""

    def __init__(
        self, stores: "_Stores", counts: ScanCounts, daily_reconcile: DailyReconcile | None, clock_jobs: ClockJobs
    ) -> None:
        self._clock_jobs = clock_jobs
        self._daily_reconcile = daily_reconcile
        self._routes = stores.routes
        self._cache = stores.cache
        self._domains = stores.domains
        self._domain_cache = stores.domain_cache
        self._completeness = stores.completeness
        self._salts = stores.salts
        self._counts = counts

    def register(self, queue: PgQueuer) -> None:
        queue.entrypoint(PUBLISH_ROUTE, on_failure="hold")(self.publish)
        queue.entrypoint(PUBLISH_ROUTES, on_failure="hold")(self.publish_many)
        queue.entrypoint(PUBLISH_DOMAINS, on_failure="hold")(self.publish_domains)
        self._clock_jobs.register(queue)
        queue.schedule("rotate_salts", "*/15 * * * *")(self.rotate_salts_by_clock)
        if self._daily_reconcile is not None:
            queue.entrypoint(RECONCILE, on_failure="hold")(self.reconcile)
            queue.schedule("enqueue_reconcile", AT)(lambda _: enqueue_reconcile(Queries(queue.connection)))

    async def catch_up(self, queue: PgQueuer) -> None:
        """What was missed while no worker ran."""
        await self._clock_jobs.enqueue_all(Queries(queue.connection))

    async def publish(self, job: Job) -> None:
        qr_id = parse_publication(job.payload)
        try:
            written = await self._publish(qr_id)
        except StoreError as error:
            if job.attempts >= WITHDRAW_AFTER:
                await self._withdraw_marker()
            raise _another_try(job.attempts, error) from error
        _log.info("route_published", qr_id=str(qr_id), written=written)

    async def publish_many(self, job: Job) -> None:
        ids = parse_publications(job.payload)
        try:
            rows = await publish_routes(self._routes, self._cache, ids)
            for route in rows.routes:
                if is_counted(route):
                    await self._counts.raise_one(route.qr_id)
        except StoreError as error:
            if job.attempts >= WITHDRAW_AFTER:
                await self._withdraw_marker()
            raise _another_try(job.attempts, error) from error
        _log.info("routes_published", routes=len(rows.routes), unreadable=len(rows.unreadable))

    async def publish_domains(self, job: Job) -> None:
        try:
            written = await publish_domains(self._domains, self._domain_cache)
        except StoreError as error:
            raise _another_try(job.attempts, error) from error
        _log.info("domains_published", written=written)

    async def rotate_salts_by_clock(self, schedule: Schedule) -> None:
        await self.rotate_salts()

    async def reconcile(self, job: Job) -> None:
        if self._daily_reconcile is not None:
            try:
                await self._daily_reconcile.run()
            except StoreError as error:
                _log.warning("reconcile_hindered", error=str(error), again_in=str(AGAIN))
                raise RetryRequested(AGAIN, str(error)) from error

    async def rotate_salts(self) -> None:
        now = datetime.now(UTC)
        await self._salts.ensure_salts(now)
        await self._salts.delete_old_salts(now)

    async def _publish(self, qr_id: UUID) -> bool:
        try:
            written = await publish_route(self._routes, self._cache, qr_id)
        except UncompilableRoute:
            row = await self._routes.find_unreadable_row(qr_id)
            if row is not None:
                await self._cache.mark_unreadable([row])
            raise
        await self._counts.raise_one(qr_id.bytes)
        return written

    async def _withdraw_marker(self) -> None:
        with suppress(StoreError):
            await self._completeness.withdraw_marker()


def _another_try(attempts: int, error: StoreError) -> RetryRequested:
    """For as long as it takes: an edit must reach Redis in the end."""
    delay = min(0.5 * 2 ** min(attempts, 10), LONGEST_RETRY_S)
    return RetryRequested(timedelta(seconds=delay), str(error))


class _Stores:
    """What the worker reads and writes."""

    def __init__(self, postgres: Postgres, redis: Redis, clickhouse: ClickHouse | None) -> None:
        self.postgres = postgres
        self.routes = RouteTable(postgres)
        self.cache = RouteCache(redis)
        self.domains = DomainTable(postgres)
        self.domain_cache = DomainCache(redis)
        self.completeness = Completeness(redis)
        self.salts = SaltTable(postgres)
        self.counters = ScanCounters(redis)
        self.count_table = ScanCountTable(postgres)
        self.counted = None if clickhouse is None else CountedScans(clickhouse)

    async def delete_old_records(self) -> None:
        await delete_old_records(self.postgres, utc_now)


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
    dsn, url = require(settings, "postgres_dsn"), settings.clickhouse_url
    postgres = Postgres(dsn, max_connections=POSTGRES_CONNECTIONS, command_timeout_s=POSTGRES_TIMEOUT_S)
    redis = open_redis(require(settings, "redis_url"), timeout_s=REDIS_TIMEOUT_S)
    clickhouse = None if url is None else ClickHouse(url, timeout_s=counted_scans.TIMEOUT_S)
    for_reconcile = None if url is None else ClickHouse(url, timeout_s=RECONCILE_TIMEOUT_S)
    credit_jobs = [ClockJob(*job) for job in list_credit_jobs(postgres, for_reconcile)]
    cleanup = ClockJob("delete_ended_access", "25 3 * * *", Cleanup(postgres, utc_now).run)
    clock_jobs = ClockJobs(postgres, JobRepository(), utc_now, [*credit_jobs, cleanup])
    try:
        stores = _Stores(postgres, redis, clickhouse)
        scheduled = _scheduled_changes(settings, stores)
        reconcile = _daily_reconcile(for_reconcile)
        await _work_and_keep_up(dsn, stores, scheduled, reconcile, clock_jobs, stopping)
    finally:
        for each in (clickhouse, for_reconcile):
            if each is not None:
                await each.close()
        await redis.aclose()
        await postgres.close()


def _daily_reconcile(clickhouse: ClickHouse | None) -> DailyReconcile | None:
    return None if clickhouse is None else DailyReconcile(Reconciliation(Statements(clickhouse)))


def _scheduled_changes(settings: Settings, stores: "_Stores") -> ScheduledChanges:
    repository, audit, public_url = QrCodeRepository(), AuditTrail(), public_url_from(settings)
    writer = VersionWriter(stores.postgres, repository, stores.cache, audit)
    policy = TargetPolicy(public_url, settings.target_allow_hosts, settings.target_block_hosts)
    domains = Domains(
        stores.postgres, DomainRepository(), stores.domains, stores.domain_cache, audit, utc_now, public_url
    )
    changes = CodeChanges(stores.postgres, repository, writer, policy, domains, PasswordMill(), utc_now)
    return ScheduledChanges(stores.postgres, repository, writer, changes, audit, utc_now)


async def _work_and_keep_up(  # noqa: PLR0913 - the parts of a worker
    dsn: str,
    stores: _Stores,
    scheduled: ScheduledChanges,
    reconcile: DailyReconcile | None,
    clock_jobs: ClockJobs,
    stopping: asyncio.Event,
) -> None:
    """The upkeep goes on while jobs are drained; one that fails beyond a store's trouble ends the process."""
    counts = ScanCounts(stores.counters, stores.count_table, stores.counted)
    counters_are_gone = asyncio.Event()
    publication = FullPublication(
        stores.completeness,
        stores.routes,
        stores.cache,
        lambda: publish_domains(stores.domains, stores.domain_cache),
        on_begin=counters_are_gone.set,
    )
    async with asyncio.TaskGroup() as tasks:
        upkeep = [
            tasks.create_task(every(CHECK_S, "completeness", publication.check)),
            tasks.create_task(every(PERSIST_S, "persist_counts", counts.persist)),
            tasks.create_task(every(SCHEDULED_S, "scheduled_changes", scheduled.apply_due)),
            tasks.create_task(every(RAISE_COUNTERS_S, "raise_counters", counts.raise_all, sooner=counters_are_gone)),
            tasks.create_task(every(DELETE_RECORDS_S, "delete_records", stores.delete_old_records)),
        ]
        await _work(dsn, Jobs(stores, counts, reconcile, clock_jobs), stopping)
        for task in upkeep:
            task.cancel()


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
        await jobs.catch_up(queue)
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

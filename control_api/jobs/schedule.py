"""Runs jobs that come by the clock, on one worker at a time, and records how each went.

The clock enqueues a job under its name, at most one; whichever worker gets it runs it. A worker that starts enqueues
all of them: what was missed while there was none is caught up at once. A job must bear being run twice, also at the
same time. When a store is away it is tried again, with growing pauses, for as long as it takes; after any other
failure TRIES times, then it is kept as dead until it is replayed, and the next turn of the clock tries anew.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from pgqueuer import PgQueuer
from pgqueuer.errors import RetryRequested
from pgqueuer.models import Job, Schedule
from pgqueuer.queries import Queries

from control_api.clock import Clock
from control_api.jobs.repository import JobRepository
from scanhop.stores.errors import StoreError, StoreUnavailable
from scanhop.stores.postgres import Postgres
from scanhop.telemetry.logs import get_logger

TRIES = 5
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 300.0

_log = get_logger()

Work = Callable[[], Awaitable[Mapping[str, Any]]]


@dataclass(frozen=True)
class ClockJob:
    """`cron` is read in UTC; `work` says what it did, for the record."""

    name: str
    cron: str
    work: Work


class ClockJobs:
    """What a worker does by the clock."""

    def __init__(self, postgres: Postgres, repository: JobRepository, clock: Clock, jobs: Sequence[ClockJob]) -> None:
        self._postgres = postgres
        self._repository = repository
        self._clock = clock
        self._jobs = {job.name: job for job in jobs}

    def register(self, queue: PgQueuer) -> None:
        async def enqueue(schedule: Schedule) -> None:
            await self.enqueue(Queries(queue.connection), schedule.entrypoint.removeprefix("enqueue_"))

        for job in self._jobs.values():
            queue.entrypoint(job.name, on_failure="hold")(self.run)
            queue.schedule(f"enqueue_{job.name}", job.cron)(enqueue)

    async def enqueue(self, queries: Queries, name: str) -> None:
        """Nothing where it waits or runs already."""
        await queries.enqueue(name, None, dedupe_key=name, on_conflict="skip")

    async def enqueue_all(self, queries: Queries) -> None:
        for name in self._jobs:
            await self.enqueue(queries, name)

    async def run(self, job: Job) -> None:
        """Raises RetryRequested, or what `work` raised for the last time."""
        try:
            await self.run_now(job.entrypoint)
        except StoreUnavailable as error:
            raise RetryRequested(_pause(job.attempts), str(error)) from error
        except Exception as error:
            if job.attempts + 1 < TRIES:
                raise RetryRequested(_pause(job.attempts), str(error)) from error
            raise

    async def run_now(self, name: str) -> None:
        """Once, recorded."""
        async with self._postgres.connection() as connection:
            await self._repository.record_start(connection, name, self._clock())
        try:
            result = dict(await self._jobs[name].work())
        except Exception as error:
            _log.warning("job_failed", job=name, error=str(error) or type(error).__name__)
            with suppress(StoreError):
                async with self._postgres.connection() as connection:
                    told = f"{type(error).__name__}: {error}"
                    await self._repository.record_failure(connection, name, self._clock(), told)
            raise
        async with self._postgres.connection() as connection:
            await self._repository.record_success(connection, name, self._clock(), result)
        _log.info("job_done", job=name, **result)


def _pause(attempts: int) -> timedelta:
    return timedelta(seconds=min(FIRST_PAUSE_S * 2 ** min(attempts, 20), LONGEST_PAUSE_S))

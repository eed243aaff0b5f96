"""Runs jobs that come by the clock, on one worker at a time, and records how each went.

The clock enqueues a job under its name, at most one; whichever worker gets it runs it. A worker that starts enqueues
all of them: what was missed while there was none is caught up at once. A job must bear being run twice, also at the
same time. When a store is away it is tried again, with growing pauses, for as long as it takes, and that is no try;
after any other failure it is tried TRIES times in all, then kept as dead until it is replayed. The next turn of the
clock tries anew; should that die, too, it takes the place of the dead one, which would do the same.
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
        name = job.entrypoint
        try:
            async with self._postgres.connection() as connection:
                await self._repository.record_start(connection, name, self._clock())
            await self._work(name)
        except StoreUnavailable as error:
            await self._record_failure(name, error, is_try=False)
            raise RetryRequested(_pause(job.attempts), str(error)) from error
        except Exception as error:
            if not await self._record_failure(name, error, is_try=True):
                raise RetryRequested(_pause(job.attempts), str(error)) from error
            raise

    async def _work(self, name: str) -> None:
        result = dict(await self._jobs[name].work())
        async with self._postgres.connection() as connection:
            await self._repository.record_success(connection, name, self._clock(), result)
        _log.info("job_done", job=name, **result)

    async def _record_failure(self, name: str, error: Exception, *, is_try: bool) -> bool:
        """Whether it was the last try."""
        _log.warning("job_failed", job=name, error=str(error) or type(error).__name__)
        told = f"{type(error).__name__}: {error}"
        with suppress(StoreError):
            async with self._postgres.transaction() as connection:
                tries = await self._repository.record_failure(connection, name, self._clock(), told, is_try=is_try)
                if is_try and tries >= TRIES:
                    await self._repository.record_death(connection, name)
                    return True
        return False


def _pause(attempts: int) -> timedelta:
    return timedelta(seconds=min(FIRST_PAUSE_S * 2 ** min(attempts, 20), LONGEST_PAUSE_S))

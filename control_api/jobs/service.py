"""What platform admins see of jobs and do with them."""

from uuid import UUID

from control_api.audit.trail import AuditTrail
from control_api.clock import Clock
from control_api.jobs.model import DeadJob, ScheduledJob
from control_api.jobs.repository import JobRepository
from control_api.web.paging import Cursor, Page, PageRequest, page_from
from control_api.web.problem import Problem, not_found
from control_api.web.problem_catalogue import ProblemKind
from scanhop.stores.postgres import Postgres


class JobBoard:
    """Raises Problem, StoreUnavailable."""

    def __init__(self, postgres: Postgres, repository: JobRepository, audit: AuditTrail, clock: Clock) -> None:
        self._postgres = postgres
        self._repository = repository
        self._audit = audit
        self._clock = clock

    async def list_scheduled(self) -> list[ScheduledJob]:
        async with self._postgres.connection() as connection:
            return await self._repository.list_scheduled(connection)

    async def list_dead(self, page: PageRequest) -> Page[DeadJob]:
        before = page.after.id.int if page.after and page.after.id.int < 1 << 63 else None
        async with self._postgres.connection() as connection:
            found = await self._repository.list_dead(connection, before, page.limit + 1)
        return page_from(found, page, lambda job: Cursor(job.created_at, UUID(int=job.id)))

    async def replay(self, job_id: int, actor: str) -> None:
        """Puts a dead job back into the queue."""
        async with self._postgres.transaction() as connection:
            status = await self._repository.find_status(connection, job_id)
            if status is None:
                raise not_found("job")
            if status != "failed" or not await self._repository.requeue(connection, job_id):
                raise Problem(ProblemKind.JOB_NOT_DEAD, "It, or the same work, waits or runs already.")
            await self._audit.record(connection, None, actor, "job.replayed", str(job_id), self._clock())

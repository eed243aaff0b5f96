"""The record of jobs, and PgQueuer's tables. Each method runs on the connection it is given."""

from datetime import datetime
from typing import TYPE_CHECKING, Any, cast

import asyncpg
from pgqueuer.db import AsyncpgDriver
from pgqueuer.queries import Queries
from pgqueuer.types import JobId

from control_api.jobs.model import DeadJob, ScheduledJob
from scanhop.stores.postgres import Connection
from scanhop.stores.sql import load_queries

if TYPE_CHECKING:
    Driven = asyncpg.Connection[asyncpg.Record]

MAX_ERROR = 500


class JobRepository:
    """Reads its statements once."""

    def __init__(self) -> None:
        self._sql = load_queries("control_api.jobs")

    async def record_start(self, connection: Connection, name: str, now: datetime) -> None:
        await connection.execute(self._sql["record_start"], name, now)

    async def record_success(self, connection: Connection, name: str, now: datetime, result: dict[str, Any]) -> None:
        await connection.execute(self._sql["record_success"], name, now, result)

    async def record_failure(
        self, connection: Connection, name: str, now: datetime, error: str, *, is_try: bool
    ) -> int:
        """How many tries there were since it last did well or died."""
        said = (name, now, error[:MAX_ERROR], is_try)
        tries: int = await connection.fetchval(self._sql["record_failure"], *said) or 0
        return tries

    async def record_death(self, connection: Connection, name: str) -> None:
        await connection.execute(self._sql["record_death"], name)

    async def list_scheduled(self, connection: Connection) -> list[ScheduledJob]:
        return [ScheduledJob(**row) for row in await connection.fetch(self._sql["list_scheduled"])]

    async def list_dead(self, connection: Connection, before: int | None, limit: int) -> list[DeadJob]:
        return [DeadJob(**row) for row in await connection.fetch(self._sql["list_dead"], before, limit)]

    async def find_status(self, connection: Connection, job_id: int) -> str | None:
        status: str | None = await connection.fetchval(self._sql["find_job"], job_id)
        return status

    async def requeue(self, connection: Connection, job_id: int) -> bool:
        """False when the same work waits already."""
        driver = AsyncpgDriver(cast("Driven", connection))
        try:
            async with connection.transaction():
                await Queries(driver).requeue_jobs([JobId(job_id)])
        except asyncpg.UniqueViolationError:
            return False
        return True

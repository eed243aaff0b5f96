"""Jobs as JSON."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, Field

from control_api.jobs.model import DeadJob, ScheduledJob
from control_api.web.paging import Page


class ScheduledJobAnswer(BaseModel):
    """A job that comes by the clock, and how it went last."""

    name: str
    schedule: str | None = Field(description="Cron, UTC; null: no worker has it any more", examples=["40 3 * * *"])
    next_at: datetime | None
    last_enqueued_at: datetime | None
    runs: int | None = Field(description="Null where the job leaves no record of its runs")
    failures: int | None
    failures_in_row: int | None
    last_started_at: datetime | None
    last_ended_at: datetime | None
    last_outcome: Literal["running", "succeeded", "failed"] | None
    last_error: str | None
    last_result: dict[str, Any] | None

    @classmethod
    def of(cls, job: ScheduledJob) -> "ScheduledJobAnswer":
        return cls.model_validate(job, from_attributes=True)


class DeadJobAnswer(BaseModel):
    """A job that has failed for good."""

    id: int
    name: str
    created_at: datetime
    failed_at: datetime
    attempts: int
    error: str | None

    @classmethod
    def of(cls, job: DeadJob) -> "DeadJobAnswer":
        return cls.model_validate(job, from_attributes=True)


class JobsAnswer(BaseModel):
    """All scheduled jobs, and a page of the dead ones, newest first."""

    scheduled: list[ScheduledJobAnswer]
    dead: list[DeadJobAnswer]
    next_cursor: str | None

    @classmethod
    def of(cls, scheduled: list[ScheduledJob], dead: Page[DeadJob]) -> "JobsAnswer":
        return cls(
            scheduled=[ScheduledJobAnswer.of(job) for job in scheduled],
            dead=[DeadJobAnswer.of(job) for job in dead.items],
            next_cursor=dead.next_cursor,
        )


class ReplayAnswer(BaseModel):
    """The job waits again."""

    id: int
    status: Literal["queued"] = "queued"

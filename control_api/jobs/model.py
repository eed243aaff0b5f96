"""What is known of jobs."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True)
class ScheduledJob:
    """A job that comes by the clock. `schedule` (cron, UTC) None: no worker has it any more; what is known of its
    runs is None where it leaves no record."""

    name: str
    schedule: str | None
    next_at: datetime | None
    last_enqueued_at: datetime | None
    runs: int | None
    failures: int | None
    failures_in_row: int | None
    last_started_at: datetime | None
    last_ended_at: datetime | None
    last_outcome: str | None
    last_error: str | None
    last_result: Mapping[str, Any] | None


@dataclass(frozen=True)
class DeadJob:
    """A job of the queue that has failed for good."""

    id: int
    name: str
    created_at: datetime
    failed_at: datetime
    attempts: int
    error: str | None

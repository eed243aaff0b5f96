"""A logged request."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True)
class LoggedRequest:
    """`time`: when it was answered. Ids are None, `key_id` empty where they do not apply."""

    time: datetime
    id: UUID
    request_id: str
    workspace_id: UUID | None
    user_id: UUID | None
    key_id: str
    is_admin: bool
    method: str
    route: str
    status: int
    duration_ms: float
    sent_bytes: int


@dataclass(frozen=True)
class LogFilter:
    """None: whatever it is. `statuses`: the least and the greatest."""

    method: str | None = None
    route: str | None = None
    statuses: tuple[int, int] | None = None
    key_id: str | None = None
    start: datetime | None = None
    end: datetime | None = None

"""A recorded change."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID


@dataclass(frozen=True)
class AuditEntry:
    """`workspace_id` None: the platform's own affairs. `action`: `object.done`."""

    id: UUID
    workspace_id: UUID | None
    at: datetime
    actor: str
    action: str
    object_id: str
    changes: Mapping[str, Any]
    reason: str | None
    request_id: str | None


@dataclass(frozen=True)
class AuditFilter:
    """None: whatever it is. Of the time `start` belongs to the range, `end` does not."""

    action: str | None = None
    actor: str | None = None
    object_id: str | None = None
    start: datetime | None = None
    end: datetime | None = None

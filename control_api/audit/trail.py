"""How the domains record what they change."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import structlog

from control_api.clock import new_id
from scanhop.stores.postgres import Connection
from scanhop.stores.sql import load_queries


@dataclass(frozen=True)
class AuditedChange:
    """What is new of one of several objects, before it is an AuditEntry."""

    object_id: UUID | str
    changes: Mapping[str, Any] = field(default_factory=dict)
    reason: str | None = None


class AuditTrail:
    """Reads its statements once."""

    def __init__(self) -> None:
        self._sql = load_queries("control_api.audit")

    async def record(  # noqa: PLR0913 - the columns
        self,
        connection: Connection,
        workspace_id: UUID | None,
        actor: str,
        action: str,
        object_id: UUID | str,
        now: datetime,
        *,
        changes: Mapping[str, Any] | None = None,
        reason: str | None = None,
    ) -> None:
        """Within the transaction of the change. `workspace_id` None: the platform's own affairs. `action` is written
        `object.done`, for instance `qr_code.created`; `changes` says what is new, and never holds a secret."""
        request_id = structlog.contextvars.get_contextvars().get("request_id")
        await connection.execute(
            self._sql["record_audit"],
            workspace_id,
            new_id(now),
            now,
            actor,
            action,
            str(object_id),
            changes or {},
            reason,
            request_id,
        )

    async def record_many(  # noqa: PLR0913 - the columns
        self,
        connection: Connection,
        workspace_id: UUID | None,
        actor: str,
        action: str,
        entries: Sequence[AuditedChange],
        now: datetime,
    ) -> None:
        """The same of several objects, in one round trip."""
        request_id = structlog.contextvars.get_contextvars().get("request_id")
        rows = [
            (
                workspace_id,
                new_id(now),
                now,
                actor,
                action,
                str(each.object_id),
                each.changes,
                each.reason,
                request_id,
            )
            for each in entries
        ]
        if len(rows) == 1:
            await connection.execute(self._sql["record_audit"], *rows[0])
        else:
            await connection.executemany(self._sql["record_audit"], rows)

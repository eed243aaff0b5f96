"""How the domains record what they change."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import structlog

from control_api.clock import new_id
from scanhop.stores.postgres import Connection
from scanhop.stores.sql import load_queries


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

"""What was recorded, read back."""

from uuid import UUID

from control_api.audit.model import AuditEntry, AuditFilter
from control_api.web.paging import PageRequest
from scanhop.stores.postgres import Connection
from scanhop.stores.sql import load_queries


class AuditRepository:
    """Reads its statements once. Each method answers one more than the page holds, where there are more."""

    def __init__(self) -> None:
        self._sql = load_queries("control_api.audit")

    async def list_one(
        self, connection: Connection, workspace_id: UUID, wanted: AuditFilter, page: PageRequest
    ) -> list[AuditEntry]:
        return await self._list(connection, "list_audit", workspace_id, wanted, page)

    async def list_all(
        self, connection: Connection, workspace_id: UUID | None, wanted: AuditFilter, page: PageRequest
    ) -> list[AuditEntry]:
        """`workspace_id` None: of all workspaces, and the platform's own."""
        return await self._list(connection, "list_all_audit", workspace_id, wanted, page)

    async def _list(
        self, connection: Connection, name: str, workspace_id: UUID | None, wanted: AuditFilter, page: PageRequest
    ) -> list[AuditEntry]:
        after = (page.after.created_at, page.after.id) if page.after else (None, None)
        filters = (wanted.action, wanted.actor, wanted.object_id, wanted.start, wanted.end)
        rows = await connection.fetch(self._sql[name], workspace_id, *after, page.limit + 1, *filters)
        return [AuditEntry(**row) for row in rows]

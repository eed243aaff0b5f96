"""The audit log as people read it."""

from uuid import UUID

from control_api.audit.model import AuditEntry, AuditFilter
from control_api.audit.repository import AuditRepository
from control_api.web.authentication import Member
from control_api.web.paging import Cursor, Page, PageRequest, page_from
from scanhop.stores.postgres import Postgres


class AuditLog:
    """Newest first. Raises StoreUnavailable."""

    def __init__(self, postgres: Postgres, repository: AuditRepository) -> None:
        self._postgres = postgres
        self._repository = repository

    async def list(self, caller: Member, wanted: AuditFilter, page: PageRequest) -> Page[AuditEntry]:
        async with self._postgres.connection() as connection:
            found = await self._repository.list_one(connection, caller.workspace_id, wanted, page)
        return page_from(found, page, _cursor_of)

    async def list_all(self, workspace_id: UUID | None, wanted: AuditFilter, page: PageRequest) -> Page[AuditEntry]:
        """`workspace_id` None: of all workspaces, and the platform's own."""
        async with self._postgres.connection() as connection:
            found = await self._repository.list_all(connection, workspace_id, wanted, page)
        return page_from(found, page, _cursor_of)


def _cursor_of(entry: AuditEntry) -> Cursor:
    return Cursor(entry.at, entry.id)

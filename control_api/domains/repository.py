"""Custom domains in Postgres. Each method runs in the transaction of the connection it is given."""

from datetime import datetime
from uuid import UUID

import asyncpg

from control_api.domains.model import Change, Domain, NewDomain
from control_api.web.paging import PageRequest
from scanhop.stores.postgres import Connection
from scanhop.stores.sql import load_queries
from scanhop.wire.ids import WorkspaceId


class HostIsAnothers(Exception):
    """Another workspace has the host verified; the transaction is lost."""


class DomainRepository:
    """Reads its statements once. All but `lock_by_id` name the workspace."""

    def __init__(self) -> None:
        self._sql = load_queries("control_api.domains")

    async def create(
        self, connection: Connection, workspace_id: WorkspaceId, domain_id: UUID, new: NewDomain, now: datetime
    ) -> Domain | None:
        """None when the workspace has the host already."""
        columns = (workspace_id, domain_id, new.host, new.code_case, new.not_found_url, now)
        return _find(await connection.fetchrow(self._sql["create_domain"], *columns))

    async def list(self, connection: Connection, workspace_id: WorkspaceId, page: PageRequest) -> list[Domain]:
        """One more than the page holds, where there are more."""
        after = (page.after.created_at, page.after.id) if page.after else (None, None)
        rows = await connection.fetch(self._sql["list_domains"], workspace_id, *after, page.limit + 1)
        return [Domain(**row) for row in rows]

    async def find(self, connection: Connection, workspace_id: WorkspaceId, domain_id: UUID) -> Domain | None:
        return _find(await connection.fetchrow(self._sql["find_domain"], workspace_id, domain_id))

    async def lock(self, connection: Connection, workspace_id: WorkspaceId, domain_id: UUID) -> Domain | None:
        return _find(await connection.fetchrow(self._sql["lock_domain"], workspace_id, domain_id))

    async def lock_by_id(self, connection: Connection, domain_id: UUID) -> Domain | None:
        """Whatever its workspace."""
        return _find(await connection.fetchrow(self._sql["lock_domain_by_id"], domain_id))

    async def hold_verified(self, connection: Connection, workspace_id: WorkspaceId, host: str) -> Domain | None:
        return _find(await connection.fetchrow(self._sql["hold_verified_domain"], workspace_id, host))

    async def has_codes(self, connection: Connection, domain: Domain) -> bool:
        """Lock the domain first."""
        has_codes: bool = await connection.fetchval(self._sql["has_codes"], domain.workspace_id, domain.id)
        return has_codes

    async def update(self, connection: Connection, domain: Domain, change: Change, now: datetime) -> Domain:
        """The next version. Lock the domain first."""
        not_found_url = change.fields.get("not_found_url", domain.not_found_url)
        [row] = await connection.fetch(self._sql["update_domain"], domain.workspace_id, domain.id, now, not_found_url)
        return Domain(**row)

    async def verify(self, connection: Connection, domain: Domain, now: datetime) -> Domain:
        """Lock the domain first. Raises HostIsAnothers."""
        try:
            [row] = await connection.fetch(self._sql["verify_domain"], domain.workspace_id, domain.id, now)
        except asyncpg.UniqueViolationError:
            raise HostIsAnothers from None
        return Domain(**row)

    async def delete(self, connection: Connection, domain: Domain, now: datetime) -> None:
        await connection.execute(self._sql["delete_domain"], domain.workspace_id, domain.id, now)


def _find(row: asyncpg.Record | None) -> Domain | None:
    return None if row is None else Domain(**row)

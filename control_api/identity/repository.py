"""Users, workspaces and keys in Postgres. Each method runs on the connection, and in the transaction, it is given."""

from datetime import datetime
from uuid import UUID

import asyncpg

from control_api.identity.key_format import NewKey
from control_api.identity.model import ApiKey, User, Workspace
from control_api.web.paging import PageRequest
from control_api.web.permissions import Role
from scanhop.stores.postgres import Connection
from scanhop.stores.sql import load_queries


class IdentityRepository:
    """Reads its statements once."""

    def __init__(self) -> None:
        self._sql = load_queries("control_api.identity")

    async def create_user(self, connection: Connection, user: User) -> User | None:
        """None when somebody has the address."""
        row = await connection.fetchrow(
            self._sql["create_user"], user.id, user.email, user.name, user.role, user.created_at
        )
        return None if row is None else User(**row)

    async def list_users(self, connection: Connection, page: PageRequest) -> list[User]:
        """One more than the page holds, where there are more."""
        after = (page.after.created_at, page.after.id) if page.after else (None, None)
        return [User(**row) for row in await connection.fetch(self._sql["list_users"], *after, page.limit + 1)]

    async def find_user(self, connection: Connection, user_id: UUID) -> User | None:
        row = await connection.fetchrow(self._sql["find_user"], user_id)
        return None if row is None else User(**row)

    async def create_workspace(self, connection: Connection, workspace: Workspace, owner: User) -> None:
        at = workspace.created_at
        await connection.execute(
            self._sql["create_workspace"], workspace.id, workspace.name, workspace.personal, workspace.timezone, at
        )
        await connection.execute(self._sql["create_membership"], workspace.id, owner.id, "owner", at)

    async def find_workspace(self, connection: Connection, workspace_id: UUID) -> Workspace | None:
        row = await connection.fetchrow(self._sql["find_workspace"], workspace_id)
        return None if row is None else Workspace(**row)

    async def create_api_key(  # noqa: PLR0913 - the columns
        self, connection: Connection, key: NewKey, workspace: Workspace, user: User, name: str, now: datetime
    ) -> None:
        await connection.execute(
            self._sql["create_api_key"], workspace.id, key.id, user.id, name, key.secret_hash, now
        )

    async def find_api_key(self, connection: Connection, key_id: str) -> ApiKey | None:
        row = await connection.fetchrow(self._sql["find_api_key"], key_id)
        return None if row is None else _api_key_from(row)

    async def record_key_use(
        self, connection: Connection, key: ApiKey, now: datetime, unless_noted_after: datetime
    ) -> None:
        await connection.execute(self._sql["record_key_use"], key.workspace_id, key.id, now, unless_noted_after)


def _api_key_from(row: asyncpg.Record) -> ApiKey:
    fields = dict(row)
    return ApiKey(**fields | {"scopes": frozenset(fields["scopes"]), "role": Role(fields["role"])})

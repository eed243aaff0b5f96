"""Members of workspaces and invitations in Postgres, on the connection that is given."""

from datetime import datetime
from uuid import UUID

import asyncpg

from control_api.identity.model import Invitation, WorkspaceMember
from control_api.web.paging import PageRequest
from control_api.web.permissions import Role
from scanhop.stores.postgres import Connection
from scanhop.stores.sql import load_queries
from scanhop.wire.ids import UserId, WorkspaceId


class MemberRepository:
    """Reads its statements once."""

    def __init__(self) -> None:
        self._sql = load_queries("control_api.identity")

    async def list_members(
        self, connection: Connection, workspace_id: WorkspaceId, page: PageRequest
    ) -> list[WorkspaceMember]:
        """One more than the page holds, where there are more."""
        rows = await connection.fetch(self._sql["list_members"], workspace_id, *_after(page), page.limit + 1)
        return [_member_from(row) for row in rows]

    async def find(self, connection: Connection, workspace_id: WorkspaceId, user_id: UUID) -> WorkspaceMember | None:
        row = await connection.fetchrow(self._sql["find_member"], workspace_id, user_id)
        return None if row is None else _member_from(row)

    async def count_owners(self, connection: Connection, workspace_id: WorkspaceId) -> int:
        return int(await connection.fetchval(self._sql["count_owners"], workspace_id))

    async def change_role(
        self, connection: Connection, workspace_id: WorkspaceId, user_id: UserId, role: Role
    ) -> None:
        await connection.execute(self._sql["change_member"], workspace_id, user_id, role)

    async def delete(self, connection: Connection, workspace_id: WorkspaceId, user_id: UserId, now: datetime) -> None:
        """Their keys are revoked, lest they open the workspace again should its user come back."""
        await connection.execute(self._sql["revoke_keys_of_member"], workspace_id, user_id, now)
        await connection.execute(self._sql["delete_member"], workspace_id, user_id)

    async def join(self, connection: Connection, invitation: Invitation, user_id: UserId, now: datetime) -> None:
        """Somebody who is in already keeps their role."""
        await connection.execute(self._sql["join_workspace"], invitation.workspace_id, user_id, invitation.role, now)

    async def set_owner(self, connection: Connection, workspace_id: UUID, user_id: UUID, now: datetime) -> None:
        await connection.execute(self._sql["set_owner"], workspace_id, user_id, now)

    async def create_invitation(
        self, connection: Connection, invitation: Invitation, token_hash: bytes
    ) -> Invitation:
        """In place of an open one to the same address."""
        await connection.execute(
            self._sql["revoke_invitations_to"], invitation.workspace_id, invitation.email, invitation.created_at
        )
        row = await connection.fetchrow(
            self._sql["create_invitation"],
            invitation.workspace_id,
            invitation.id,
            invitation.email,
            invitation.role,
            token_hash,
            invitation.invited_by,
            invitation.created_at,
            invitation.expires_at,
        )
        return _invitation_from(row)

    async def list_invitations(
        self, connection: Connection, workspace_id: WorkspaceId, page: PageRequest, now: datetime
    ) -> list[Invitation]:
        """One more than the page holds, where there are more."""
        rows = await connection.fetch(self._sql["list_invitations"], workspace_id, *_after(page), page.limit + 1, now)
        return [_invitation_from(row) for row in rows]

    async def revoke_invitation(
        self, connection: Connection, workspace_id: WorkspaceId, invitation_id: UUID, now: datetime
    ) -> bool:
        """False when there is no such open one."""
        row = await connection.fetchrow(self._sql["revoke_invitation"], workspace_id, invitation_id, now)
        return row is not None

    async def find_invitation(self, connection: Connection, token_hash: bytes, now: datetime) -> Invitation | None:
        """If it is open."""
        row = await connection.fetchrow(self._sql["find_invitation_by_token"], token_hash, now)
        return None if row is None else _invitation_from(row)

    async def accept_invitation(self, connection: Connection, invitation: Invitation, now: datetime) -> bool:
        """False when it is no longer open."""
        row = await connection.fetchrow(self._sql["accept_invitation"], invitation.workspace_id, invitation.id, now)
        return row is not None


def _after(page: PageRequest) -> tuple[datetime | None, UUID | None]:
    return (page.after.created_at, page.after.id) if page.after else (None, None)


def _member_from(row: asyncpg.Record) -> WorkspaceMember:
    fields = dict(row)
    return WorkspaceMember(**fields | {"role": Role(fields["role"])})


def _invitation_from(row: asyncpg.Record | None) -> Invitation:
    fields = dict(row or {})
    return Invitation(**fields | {"role": Role(fields["role"])})

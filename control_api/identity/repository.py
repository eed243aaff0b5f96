"""Users, their workspaces and their keys in Postgres.

Each method runs on the connection, and in the transaction, it is given.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import asyncpg

from control_api.identity.key_format import NewKey
from control_api.identity.model import (
    ApiKey,
    ListedKey,
    NewCredentials,
    OwnWorkspace,
    PersonInWorkspace,
    SignIn,
    User,
    Workspace,
)
from control_api.web.paging import PageRequest
from control_api.web.permissions import Role
from scanhop.stores.postgres import Connection
from scanhop.stores.sql import load_queries
from scanhop.wire.ids import UserId, WorkspaceId


class AddressTaken(Exception):
    """Somebody else has the e-mail address."""


class IdentityRepository:
    """Reads its statements once."""

    def __init__(self) -> None:
        self._sql = load_queries("control_api.identity")

    async def create_user(self, connection: Connection, user: User, new: NewCredentials) -> User | None:
        """None when somebody has the address."""
        row = await connection.fetchrow(
            self._sql["create_user"],
            user.id,
            user.email,
            user.name,
            user.role,
            user.created_at,
            user.created_at if new.email_verified else None,
            new.password_hash,
            new.google_sub,
        )
        return None if row is None else User(**row)

    async def list_users(self, connection: Connection, page: PageRequest) -> list[User]:
        """One more than the page holds, where there are more."""
        return [User(**row) for row in await connection.fetch(self._sql["list_users"], *_after(page), page.limit + 1)]

    async def find_user(self, connection: Connection, user_id: UUID) -> User | None:
        row = await connection.fetchrow(self._sql["find_user"], user_id)
        return None if row is None else User(**row)

    async def lock_user(self, connection: Connection, user_id: UUID) -> User | None:
        row = await connection.fetchrow(self._sql["lock_user"], user_id)
        return None if row is None else User(**row)

    async def find_sign_in(self, connection: Connection, email: str) -> SignIn | None:
        return _sign_in_from(await connection.fetchrow(self._sql["find_sign_in"], email))

    async def find_sign_in_of_user(self, connection: Connection, user_id: UUID) -> SignIn | None:
        return _sign_in_from(await connection.fetchrow(self._sql["find_sign_in_of_user"], user_id))

    async def lock_sign_in(self, connection: Connection, user_id: UUID) -> SignIn | None:
        return _sign_in_from(await connection.fetchrow(self._sql["lock_sign_in"], user_id))

    async def find_google_user(self, connection: Connection, sub: str) -> User | None:
        row = await connection.fetchrow(self._sql["find_google_user"], sub)
        return None if row is None else User(**row)

    async def link_google(self, connection: Connection, user: User, sub: str, now: datetime) -> None:
        await connection.execute(self._sql["link_google"], user.id, sub, now)

    async def update_user(self, connection: Connection, user: User, now: datetime) -> User:
        """Raises AddressTaken."""
        try:
            row = await connection.fetchrow(self._sql["update_user"], user.id, user.email, user.name, user.role, now)
        except asyncpg.UniqueViolationError:
            raise AddressTaken from None
        return User(**dict(row or {}))

    async def set_password(
        self, connection: Connection, user_id: UUID, password_hash: str, now: datetime, *, verifies_email: bool
    ) -> None:
        await connection.execute(self._sql["set_password"], user_id, password_hash, now, verifies_email)

    async def anonymise_user(self, connection: Connection, user: User, now: datetime) -> None:
        """Their memberships and keys end, and what invites their address; what they made stays."""
        await connection.execute(self._sql["delete_invitations_to"], user.email)
        await connection.execute(self._sql["revoke_keys_of_user"], user.id, now)
        await connection.execute(self._sql["anonymise_personal_workspace"], user.id, now)
        await connection.execute(self._sql["leave_all_workspaces"], user.id)
        await connection.execute(self._sql["anonymise_user"], user.id, now)

    async def create_workspace(self, connection: Connection, workspace: Workspace, owner_id: UserId) -> None:
        at = workspace.created_at
        personal_of = owner_id if workspace.personal else None
        await connection.execute(
            self._sql["create_workspace"],
            workspace.id,
            workspace.name,
            workspace.personal,
            workspace.timezone,
            at,
            personal_of,
        )
        await connection.execute(self._sql["create_membership"], workspace.id, owner_id, Role.OWNER, at)

    async def find_workspace(self, connection: Connection, workspace_id: UUID) -> Workspace | None:
        row = await connection.fetchrow(self._sql["find_workspace"], workspace_id)
        return None if row is None else Workspace(**row)

    async def lock_workspace(self, connection: Connection, workspace_id: UUID) -> Workspace | None:
        row = await connection.fetchrow(self._sql["lock_workspace"], workspace_id)
        return None if row is None else Workspace(**row)

    async def find_personal_workspace(self, connection: Connection, user_id: UUID) -> Workspace | None:
        row = await connection.fetchrow(self._sql["find_personal_workspace"], user_id)
        return None if row is None else Workspace(**row)

    async def list_own_workspaces(
        self, connection: Connection, user_id: UserId, page: PageRequest, only: WorkspaceId | None
    ) -> list[OwnWorkspace]:
        """One more than the page holds, where there are more."""
        rows = await connection.fetch(self._sql["list_own_workspaces"], user_id, *_after(page), page.limit + 1, only)
        return [_own_workspace_from(row) for row in rows]

    async def update_workspace(self, connection: Connection, workspace: Workspace, now: datetime) -> Workspace:
        row = await connection.fetchrow(
            self._sql["update_workspace"], workspace.id, workspace.name, workspace.timezone, now
        )
        return Workspace(**dict(row or {}))

    async def is_workspace_in_use(self, connection: Connection, workspace: Workspace) -> bool:
        return bool(await connection.fetchval(self._sql["is_workspace_in_use"], workspace.id))

    async def delete_workspace(self, connection: Connection, workspace: Workspace, now: datetime) -> None:
        """Nobody is in it any more, no key opens it, no invitation leads to it."""
        await connection.execute(self._sql["delete_memberships"], workspace.id)
        for statement in ("revoke_keys_of_workspace", "revoke_invitations_of_workspace", "delete_workspace"):
            await connection.execute(self._sql[statement], workspace.id, now)

    async def lock_workspaces_owned_alone(self, connection: Connection, user_id: UserId) -> list[Workspace]:
        """No member of any workspace that the user is in changes before the transaction ends."""
        await connection.execute(self._sql["lock_workspaces_of_user"], user_id)
        rows = await connection.fetch(self._sql["list_workspaces_owned_alone"], user_id)
        return [Workspace(**row) for row in rows]

    async def create_api_key(  # noqa: PLR0913 - the columns
        self,
        connection: Connection,
        key: NewKey,
        workspace_id: UUID,
        user_id: UUID,
        name: str,
        now: datetime,
        scopes: Sequence[str],
        expires_at: datetime | None = None,
    ) -> ListedKey:
        row = await connection.fetchrow(
            self._sql["create_api_key"],
            workspace_id,
            key.id,
            user_id,
            name,
            key.secret_hash,
            now,
            scopes,
            expires_at,
        )
        return _listed_key_from(row)

    async def list_api_keys(
        self,
        connection: Connection,
        workspace_id: WorkspaceId,
        page: PageRequest,
        after: tuple[datetime, str] | None,
        only_of: UserId | None,
    ) -> list[ListedKey]:
        """One more than the page holds, where there are more."""
        rows = await connection.fetch(
            self._sql["list_api_keys"], workspace_id, *(after or (None, None)), page.limit + 1, only_of
        )
        return [_listed_key_from(row) for row in rows]

    async def revoke_api_key(
        self, connection: Connection, workspace_id: WorkspaceId, key_id: str, now: datetime, only_of: UserId | None
    ) -> ListedKey | None:
        """None when there is no such key that is not revoked."""
        row = await connection.fetchrow(self._sql["revoke_api_key"], workspace_id, key_id, now, only_of)
        return None if row is None else _listed_key_from(row)

    async def revoke_named_key(
        self, connection: Connection, workspace: Workspace, user_id: UserId, name: str, now: datetime
    ) -> None:
        await connection.execute(self._sql["revoke_named_key"], workspace.id, user_id, name, now)

    async def find_key_expiry(
        self, connection: Connection, workspace_id: WorkspaceId, key_id: str
    ) -> datetime | None:
        expires_at: datetime | None = await connection.fetchval(self._sql["find_key_expiry"], workspace_id, key_id)
        return expires_at

    async def find_api_key(self, connection: Connection, key_id: str) -> ApiKey | None:
        row = await connection.fetchrow(self._sql["find_api_key"], key_id)
        return None if row is None else _api_key_from(row)

    async def record_key_use(
        self, connection: Connection, key: ApiKey, now: datetime, unless_noted_after: datetime
    ) -> None:
        await connection.execute(self._sql["record_key_use"], key.workspace_id, key.id, now, unless_noted_after)

    async def find_person(
        self, connection: Connection, session_id: UUID, user_id: UserId, workspace_id: UUID | None, now: datetime
    ) -> PersonInWorkspace | None:
        """Without `workspace_id` in their personal one. None when the session has ended."""
        row = await connection.fetchrow(self._sql["find_person"], session_id, user_id, workspace_id, now)
        if row is None:
            return None
        fields = dict(row)
        return PersonInWorkspace(**fields | {"role": Role(fields["role"]) if fields["role"] else None})


def _after(page: PageRequest) -> tuple[datetime | None, UUID | None]:
    return (page.after.created_at, page.after.id) if page.after else (None, None)


def _sign_in_from(row: asyncpg.Record | None) -> SignIn | None:
    if row is None:
        return None
    fields = dict(row)
    known = {name: fields.pop(name) for name in ("password_hash", "email_verified_at", "google_sub")}
    return SignIn(User(**fields), **known)


def _own_workspace_from(row: asyncpg.Record) -> OwnWorkspace:
    fields = dict(row)
    role = Role(fields.pop("role"))
    return OwnWorkspace(Workspace(**fields), role)


def _listed_key_from(row: asyncpg.Record | None) -> ListedKey:
    fields = dict(row or {})
    return ListedKey(**fields | {"scopes": tuple(fields["scopes"])})


def _api_key_from(row: asyncpg.Record) -> ApiKey:
    fields = dict(row)
    return ApiKey(**fields | {"scopes": frozenset(fields["scopes"]), "role": Role(fields["role"])})

"""What can be done with workspaces.

A workspace is never emptied by accident: it can be deleted once none of its codes and domains is left. A workspace
that has lost its last owner, as when a user was deleted, stays with its codes; a platform admin hands it over.
"""

from dataclasses import replace
from typing import Any
from uuid import UUID

from control_api.audit.trail import AuditTrail
from control_api.clock import Clock, new_id
from control_api.identity.account_creation import DEFAULT_TIMEZONE
from control_api.identity.member_repository import MemberRepository
from control_api.identity.members import require_person
from control_api.identity.model import OwnWorkspace, Workspace
from control_api.identity.repository import IdentityRepository
from control_api.web.authentication import Member
from control_api.web.paging import Cursor, Page, PageRequest, page_from
from control_api.web.permissions import Role
from control_api.web.problem import Problem, invalid_parameter, not_found
from control_api.web.problem_catalogue import ProblemKind
from control_api.web.versions import require_version
from scanhop.stores.postgres import Postgres
from scanhop.wire.ids import WorkspaceId


class Workspaces:
    """One transaction per call. Raises Problem, StoreUnavailable."""

    def __init__(
        self,
        postgres: Postgres,
        repository: IdentityRepository,
        members: MemberRepository,
        audit: AuditTrail,
        clock: Clock,
    ) -> None:
        self._postgres = postgres
        self._repository = repository
        self._members = members
        self._audit = audit
        self._clock = clock

    async def get(self, workspace_id: WorkspaceId) -> Workspace:
        async with self._postgres.connection() as connection:
            return _require(await self._repository.find_workspace(connection, workspace_id))

    async def list(self, caller: Member, page: PageRequest) -> Page[OwnWorkspace]:
        """Those the caller is in; a key knows of its own alone."""
        only = None if caller.key_id is None else caller.workspace_id
        async with self._postgres.connection() as connection:
            found = await self._repository.list_own_workspaces(connection, caller.user_id, page, only)
        return page_from(found, page, lambda own: Cursor(own.workspace.created_at, own.workspace.id))

    async def create(self, caller: Member, name: str, timezone: str | None) -> OwnWorkspace:
        """The caller owns it."""
        require_person(caller)
        now = self._clock()
        workspace = Workspace(WorkspaceId(new_id(now)), name, False, timezone or DEFAULT_TIMEZONE, now)
        async with self._postgres.transaction() as connection:
            await self._repository.create_workspace(connection, workspace, caller.user_id)
            await self._audit.record(connection, workspace.id, caller.actor, "workspace.created", workspace.id, now)
        return OwnWorkspace(workspace, Role.OWNER)

    async def update(self, caller: Member, fields: dict[str, Any], if_match: str | None) -> OwnWorkspace:
        """`fields`: name, timezone or both."""
        now = self._clock()
        async with self._postgres.transaction() as connection:
            workspace = _require(await self._repository.lock_workspace(connection, caller.workspace_id))
            require_version(if_match, workspace.version)
            wanted = replace(workspace, **fields)
            if wanted != workspace:
                workspace = await self._repository.update_workspace(connection, wanted, now)
                await self._audit.record(
                    connection, workspace.id, caller.actor, "workspace.updated", workspace.id, now, changes=fields
                )
        return OwnWorkspace(workspace, caller.role)

    async def delete(self, caller: Member, if_match: str | None) -> None:
        """Neither a personal one, nor one whose codes would be lost."""
        now = self._clock()
        async with self._postgres.transaction() as connection:
            workspace = _require(await self._repository.lock_workspace(connection, caller.workspace_id))
            require_version(if_match, workspace.version)
            if workspace.personal:
                raise Problem(ProblemKind.PERSONAL_WORKSPACE, "A personal workspace stays as long as its user.")
            if await self._repository.is_workspace_in_use(connection, workspace):
                raise Problem(
                    ProblemKind.WORKSPACE_IN_USE,
                    "Codes or domains of the workspace are not deleted; their scans would lead nowhere.",
                )
            await self._repository.delete_workspace(connection, workspace, now)
            await self._audit.record(connection, workspace.id, caller.actor, "workspace.deleted", workspace.id, now)

    async def hand_over(self, workspace_id: UUID, user_id: UUID, actor: str) -> Workspace:
        """The user becomes an owner of the workspace, beside those there are."""
        now = self._clock()
        async with self._postgres.transaction() as connection:
            if await self._repository.lock_user(connection, user_id) is None:
                raise invalid_parameter("user_id", "is no user")
            workspace = _require(await self._repository.lock_workspace(connection, workspace_id))
            await self._members.set_owner(connection, workspace.id, user_id, now)
            changes = {"user_id": str(user_id)}
            await self._audit.record(
                connection, workspace.id, actor, "workspace.handed_over", workspace.id, now, changes=changes
            )
        return workspace


def _require(workspace: Workspace | None) -> Workspace:
    if workspace is None:
        raise not_found("workspace")
    return workspace

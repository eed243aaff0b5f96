"""Who is in a workspace, and as what.

A workspace keeps one owner at least, also when several are changed at once: its row is locked first. Only owners
make, change and remove owners. Nobody leaves their personal workspace, nor is less than owner in it.
"""

from collections.abc import Mapping
from uuid import UUID

from control_api.audit.trail import AuditTrail
from control_api.clock import Clock
from control_api.identity.member_repository import MemberRepository
from control_api.identity.model import WorkspaceMember
from control_api.identity.repository import IdentityRepository
from control_api.web.authentication import Member
from control_api.web.paging import Cursor, Page, PageRequest, page_from
from control_api.web.permissions import Role
from control_api.web.problem import Problem, not_found
from control_api.web.problem_catalogue import ProblemKind
from control_api.web.versions import require_version
from scanhop.stores.postgres import Connection, Postgres


class Members:
    """One transaction per call. Raises Problem, StoreUnavailable."""

    def __init__(
        self,
        postgres: Postgres,
        repository: MemberRepository,
        workspaces: IdentityRepository,
        audit: AuditTrail,
        clock: Clock,
    ) -> None:
        self._postgres = postgres
        self._repository = repository
        self._workspaces = workspaces
        self._audit = audit
        self._clock = clock

    async def list(self, caller: Member, page: PageRequest) -> Page[WorkspaceMember]:
        async with self._postgres.connection() as connection:
            found = await self._repository.list_members(connection, caller.workspace_id, page)
        return page_from(found, page, lambda member: Cursor(member.created_at, member.user_id))

    async def change_role(self, caller: Member, user_id: UUID, role: Role, if_match: str | None) -> WorkspaceMember:
        async with self._postgres.transaction() as connection:
            member = await self._lock(connection, caller, user_id, if_match)
            if role is not member.role:
                require_owner_for(caller, role, member.role)
                await self._require_dispensable(connection, caller, member)
                await self._repository.change_role(connection, caller.workspace_id, member.user_id, role)
                changes = {"role": role}
                await self._record(connection, caller, "member.role_changed", member, changes)
            changed = await self._repository.find(connection, caller.workspace_id, user_id)
        return _require(changed)

    async def remove(self, caller: Member, user_id: UUID, if_match: str | None) -> None:
        """Their keys of the workspace are revoked."""
        now = self._clock()
        async with self._postgres.transaction() as connection:
            member = await self._lock(connection, caller, user_id, if_match)
            if member.user_id != caller.user_id:
                require_owner_for(caller, member.role)
            await self._require_dispensable(connection, caller, member)
            await self._repository.delete(connection, caller.workspace_id, member.user_id, now)
            await self._record(connection, caller, "member.removed", member, {})

    async def leave(self, caller: Member, if_match: str | None) -> None:
        await self.remove(caller, caller.user_id, if_match)

    async def _lock(
        self, connection: Connection, caller: Member, user_id: UUID, if_match: str | None
    ) -> WorkspaceMember:
        """No other change of the workspace's members happens before the transaction ends."""
        await self._workspaces.lock_workspace(connection, caller.workspace_id)
        member = _require(await self._repository.find(connection, caller.workspace_id, user_id))
        require_version(if_match, member.version)
        return member

    async def _require_dispensable(self, connection: Connection, caller: Member, member: WorkspaceMember) -> None:
        """Whether the workspace can do without this owner."""
        if member.role is not Role.OWNER:
            return
        if member.is_personal:
            raise Problem(ProblemKind.PERSONAL_WORKSPACE, "Everybody owns their personal workspace.")
        if await self._repository.count_owners(connection, caller.workspace_id) == 1:
            raise Problem(ProblemKind.LAST_OWNER, "Make somebody else an owner first.")

    async def _record(
        self, connection: Connection, caller: Member, action: str, member: WorkspaceMember, changes: Mapping[str, str]
    ) -> None:
        await self._audit.record(
            connection,
            caller.workspace_id,
            caller.actor,
            action,
            member.user_id,
            self._clock(),
            changes=changes,
        )


def require_owner_for(caller: Member, *roles: Role) -> None:
    """Raises Problem when one of `roles` is owner and the caller is none."""
    if Role.OWNER in roles and caller.role is not Role.OWNER:
        raise Problem(ProblemKind.OWNER_NEEDED, "Only an owner makes, changes or removes an owner.")


def require_person(caller: Member) -> None:
    """Raises Problem when it is a key: none reaches beyond its workspace."""
    if caller.key_id is not None:
        raise Problem(ProblemKind.SIGN_IN_NEEDED, "A key works in its workspace alone; sign in to do this.")


def _require(member: WorkspaceMember | None) -> WorkspaceMember:
    if member is None:
        raise not_found("member")
    return member

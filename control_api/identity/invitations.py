"""Invitations into a workspace: to an address and for a role, good for a week, accepted once.

The token is shown to who invites, and stored as its hash. Whoever accepts is signed in, as the user with the invited
address. While nobody has that address the token alone is enough: addresses are not verified when somebody registers.
"""

from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

from control_api.audit.trail import AuditTrail
from control_api.clock import Clock, new_id
from control_api.identity.member_repository import MemberRepository
from control_api.identity.members import require_owner_for, require_person
from control_api.identity.model import Invitation, OwnWorkspace
from control_api.identity.random_token import generate_token, hash_token
from control_api.identity.repository import IdentityRepository
from control_api.web.authentication import Member
from control_api.web.paging import Cursor, Page, PageRequest, page_from
from control_api.web.permissions import Role
from control_api.web.problem import Problem, not_found
from control_api.web.problem_catalogue import ProblemKind
from scanhop.stores.postgres import Connection, Postgres
from scanhop.wire.ids import WorkspaceId

LIFETIME = timedelta(days=7)


@dataclass(frozen=True)
class NewInvitation:
    """`token` is shown this once."""

    invitation: Invitation
    token: str = field(repr=False)


class Invitations:
    """One transaction per call. Raises Problem, StoreUnavailable."""

    def __init__(
        self,
        postgres: Postgres,
        repository: MemberRepository,
        identity: IdentityRepository,
        audit: AuditTrail,
        clock: Clock,
    ) -> None:
        self._postgres = postgres
        self._repository = repository
        self._identity = identity
        self._audit = audit
        self._clock = clock

    async def create(self, caller: Member, email: str, role: Role) -> NewInvitation:
        """In place of an open one to the same address."""
        require_owner_for(caller, role)
        now, token = self._clock(), generate_token("scanhop_invite")
        wanted = Invitation(
            new_id(now), WorkspaceId(caller.workspace_id), email, role, caller.actor, now, now + LIFETIME
        )
        async with self._postgres.transaction() as connection:
            await self._identity.lock_workspace(connection, caller.workspace_id)
            invitation = await self._repository.create_invitation(connection, wanted, token.hash)
            changes = {"role": role}
            await self._audit.record(
                connection, caller.workspace_id, caller.actor, "invitation.created", wanted.id, now, changes=changes
            )
        return NewInvitation(invitation, token.text)

    async def list(self, caller: Member, page: PageRequest) -> Page[Invitation]:
        """Those that are open."""
        async with self._postgres.connection() as connection:
            found = await self._repository.list_invitations(connection, caller.workspace_id, page, self._clock())
        return page_from(found, page, lambda each: Cursor(each.created_at, each.id))

    async def revoke(self, caller: Member, invitation_id: UUID) -> None:
        now = self._clock()
        async with self._postgres.transaction() as connection:
            if not await self._repository.revoke_invitation(connection, caller.workspace_id, invitation_id, now):
                raise not_found("invitation")
            await self._audit.record(
                connection, caller.workspace_id, caller.actor, "invitation.revoked", invitation_id, now
            )

    async def accept(self, caller: Member, token: str) -> OwnWorkspace:
        """Who is in the workspace already keeps their role."""
        require_person(caller)
        now = self._clock()
        async with self._postgres.transaction() as connection:
            invitation = await self._repository.find_invitation(connection, hash_token(token), now)
            if invitation is None:
                raise not_found("open invitation")
            await self._require_invited(connection, caller, invitation)
            workspace = await self._identity.lock_workspace(connection, invitation.workspace_id)
            if workspace is None or not await self._repository.accept_invitation(connection, invitation, now):
                raise not_found("open invitation")
            await self._repository.join(connection, invitation, caller.user_id, now)
            member = await self._repository.find(connection, workspace.id, caller.user_id)
            role = invitation.role if member is None else member.role
            await self._audit.record(
                connection, workspace.id, caller.actor, "invitation.accepted", invitation.id, now
            )
        return OwnWorkspace(workspace, role)

    async def _require_invited(self, connection: Connection, caller: Member, invitation: Invitation) -> None:
        user = await self._identity.lock_user(connection, caller.user_id)
        if user is None or user.email.lower() != invitation.email.lower():
            raise Problem(ProblemKind.INVITATION_NOT_YOURS, "The invitation is to another address than yours.")

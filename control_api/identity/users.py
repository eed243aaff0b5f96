"""What a platform admin can do with users, and a user with their own account."""

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from control_api.audit.trail import AuditTrail
from control_api.clock import Clock
from control_api.identity.account_creation import AccountCreation, new_user
from control_api.identity.key_format import generate_key
from control_api.identity.members import require_person
from control_api.identity.model import NewCredentials, User, Workspace
from control_api.identity.repository import AddressTaken, IdentityRepository
from control_api.identity.session_repository import SessionRepository
from control_api.web.authentication import Member
from control_api.web.paging import Cursor, Page, PageRequest, page_from
from control_api.web.permissions import ALL_SCOPES
from control_api.web.problem import Problem, not_found
from control_api.web.problem_catalogue import ProblemKind
from control_api.web.versions import require_version
from scanhop.stores.postgres import Connection, Postgres

DEFAULT_KEY_NAME = "default"


@dataclass(frozen=True)
class NewUser:
    """A user with all they need to begin; `api_key` is shown this once."""

    user: User
    workspace: Workspace
    api_key: str = field(repr=False)


class Users:
    """One transaction per call. Raises Problem, StoreUnavailable."""

    def __init__(
        self,
        postgres: Postgres,
        repository: IdentityRepository,
        sessions: SessionRepository,
        audit: AuditTrail,
        clock: Clock,
    ) -> None:
        self._postgres = postgres
        self._repository = repository
        self._sessions = sessions
        self._audit = audit
        self._clock = clock
        self._creation = AccountCreation(repository, audit)

    async def create(self, email: str, name: str | None, role: str, actor: str) -> NewUser:
        """An admin who names an address vouches for it."""
        wanted = new_user(email, name, role, self._clock())
        async with self._postgres.transaction() as connection:
            user, workspace = await self._creation.create(
                connection, wanted, NewCredentials(email_verified=True), actor
            )
            key = await self._create_default_key(connection, workspace, user, actor)
        return NewUser(user, workspace, key)

    async def list(self, page: PageRequest) -> Page[User]:
        async with self._postgres.connection() as connection:
            found = await self._repository.list_users(connection, page)
        return page_from(found, page, lambda user: Cursor(user.created_at, user.id))

    async def get(self, user_id: UUID) -> User:
        async with self._postgres.connection() as connection:
            return _require(await self._repository.find_user(connection, user_id))

    async def update(self, user_id: UUID, fields: dict[str, Any], actor: str, if_match: str | None) -> User:
        """`fields`: any of email, name and role. Nothing is written when nothing would differ."""
        now = self._clock()
        try:
            async with self._postgres.transaction() as connection:
                user = _require(await self._repository.lock_user(connection, user_id))
                require_version(if_match, user.version)
                wanted = replace(user, **fields)
                if wanted == user:
                    return user
                updated = await self._repository.update_user(connection, wanted, now)
                if updated.email != user.email:  # whoever reads the old one may hold a reset
                    await self._sessions.end_password_resets(connection, user.id, now)
                changes = {"fields": sorted(fields), "role": updated.role}
                await self._audit.record(connection, None, actor, "user.updated", user.id, now, changes=changes)
        except AddressTaken:
            raise Problem(ProblemKind.EMAIL_TAKEN, "A user with this e-mail address exists.") from None
        return updated

    async def delete(self, user_id: UUID, actor: str, if_match: str | None) -> None:
        """Anonymises: keys and sessions end, memberships go, the address is free again. Codes go on redirecting."""
        now = self._clock()
        async with self._postgres.transaction() as connection:
            user = _require(await self._repository.lock_user(connection, user_id))
            require_version(if_match, user.version)
            await self._delete(connection, user, actor, now)

    async def delete_own(self, caller: Member, if_match: str | None) -> None:
        """As `delete`, once no workspace would be left without an owner; the personal one goes with its user."""
        require_person(caller)
        now = self._clock()
        async with self._postgres.transaction() as connection:
            user = _require(await self._repository.lock_user(connection, caller.user_id))
            require_version(if_match, user.version)
            await self._delete_personal_workspace(connection, user, now)
            await self._delete(connection, user, caller.actor, now)

    async def regenerate_key(self, user_id: UUID, actor: str) -> str:
        """In their personal workspace: the key named `default` is revoked, and this is the new one."""
        now = self._clock()
        async with self._postgres.transaction() as connection:
            user = _require(await self._repository.lock_user(connection, user_id))
            workspace = await self._repository.find_personal_workspace(connection, user.id)
            if workspace is None:
                raise not_found("personal workspace")
            await self._repository.revoke_named_key(connection, workspace, user.id, DEFAULT_KEY_NAME, now)
            return await self._create_default_key(connection, workspace, user, actor)

    async def _delete_personal_workspace(self, connection: Connection, user: User, now: datetime) -> None:
        """Unless somebody else owns it, too. Raises Problem when it is in use, or when there is more."""
        owned = await self._repository.lock_workspaces_owned_alone(connection, user.id)
        if others := [str(each.id) for each in owned if not each.personal]:
            detail = "You alone own other workspaces: make somebody else an owner, or delete them, first."
            raise Problem(ProblemKind.LAST_OWNER, detail, members={"workspace_ids": others})
        for workspace in owned:
            if await self._repository.is_workspace_in_use(connection, workspace):
                detail = (
                    "Codes or domains of your personal workspace are not deleted; their scans would lead nowhere."
                )
                raise Problem(ProblemKind.WORKSPACE_IN_USE, detail, members={"workspace_ids": [str(workspace.id)]})
            await self._repository.delete_workspace(connection, workspace, now)
            actor = f"user:{user.id}"
            await self._audit.record(connection, workspace.id, actor, "workspace.deleted", workspace.id, now)

    async def _delete(self, connection: Connection, user: User, actor: str, now: datetime) -> None:
        await self._sessions.revoke_of_user(connection, user.id, now, "deletion")
        await self._repository.anonymise_user(connection, user, now)
        await self._audit.record(connection, None, actor, "user.deleted", user.id, now)

    async def _create_default_key(self, connection: Connection, workspace: Workspace, user: User, actor: str) -> str:
        key, now = generate_key(), self._clock()
        await self._repository.create_api_key(
            connection, key, workspace.id, user.id, DEFAULT_KEY_NAME, now, [ALL_SCOPES]
        )
        changes = {"name": DEFAULT_KEY_NAME, "scopes": [ALL_SCOPES]}
        await self._audit.record(connection, workspace.id, actor, "api_key.created", key.id, now, changes=changes)
        return key.text


def _require(user: User | None) -> User:
    if user is None:
        raise not_found("user")
    return user

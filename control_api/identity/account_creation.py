"""A new user with all they need: their personal workspace, which they own."""

from datetime import datetime

from control_api.audit.trail import AuditTrail
from control_api.clock import new_id
from control_api.identity.model import NewCredentials, User, Workspace
from control_api.identity.repository import IdentityRepository
from control_api.web.problem import Problem
from control_api.web.problem_catalogue import ProblemKind
from scanhop.stores.postgres import Connection
from scanhop.wire.ids import UserId, WorkspaceId

DEFAULT_TIMEZONE = "UTC"


class AccountCreation:
    """Works within the transaction that it is given."""

    def __init__(self, repository: IdentityRepository, audit: AuditTrail) -> None:
        self._repository = repository
        self._audit = audit

    async def create(
        self, connection: Connection, wanted: User, credentials: NewCredentials, actor: str | None = None
    ) -> tuple[User, Workspace]:
        """`actor` None: the user did it. Raises Problem."""
        user = await self._repository.create_user(connection, wanted, credentials)
        if user is None:
            raise Problem(ProblemKind.EMAIL_TAKEN, "A user with this e-mail address exists.")
        workspace = _personal_workspace(user)
        await self._repository.create_workspace(connection, workspace, user.id)
        actor = actor or f"user:{user.id}"
        now = user.created_at
        await self._audit.record(connection, None, actor, "user.created", user.id, now, changes={"role": user.role})
        await self._audit.record(connection, workspace.id, actor, "workspace.created", workspace.id, now)
        return user, workspace


def new_user(email: str, name: str | None, role: str, now: datetime) -> User:
    return User(UserId(new_id(now)), email, name, role, now, now)


def _personal_workspace(owner: User) -> Workspace:
    name = owner.name or owner.email.partition("@")[0]
    return Workspace(WorkspaceId(new_id(owner.created_at)), name, True, DEFAULT_TIMEZONE, owner.created_at)

"""What can be done with users and workspaces."""

from dataclasses import dataclass, field
from uuid import UUID

from control_api.clock import Clock, new_id
from control_api.identity.key_format import generate_key
from control_api.identity.model import User, Workspace
from control_api.identity.repository import IdentityRepository
from control_api.web.paging import Cursor, Page, PageRequest, page_from
from control_api.web.problem import Problem, not_found
from control_api.web.problem_catalogue import ProblemKind
from scanhop.stores.postgres import Postgres
from scanhop.wire.ids import UserId, WorkspaceId

DEFAULT_KEY_NAME = "default"
DEFAULT_TIMEZONE = "UTC"


@dataclass(frozen=True)
class NewUser:
    """A user with all they need to begin; `api_key` is shown this once."""

    user: User
    workspace: Workspace
    api_key: str = field(repr=False)


class Users:
    """One transaction per call. Raises Problem, StoreUnavailable."""

    def __init__(self, postgres: Postgres, repository: IdentityRepository, clock: Clock) -> None:
        self._postgres = postgres
        self._repository = repository
        self._clock = clock

    async def create(self, email: str, name: str | None, role: str) -> NewUser:
        now = self._clock()
        wanted = User(UserId(new_id(now)), email, name, role, now, now)
        workspace = _personal_workspace(wanted)
        key = generate_key()
        async with self._postgres.transaction() as connection:
            user = await self._repository.create_user(connection, wanted)
            if user is None:
                raise Problem(ProblemKind.EMAIL_TAKEN, "A user with this e-mail address exists.")
            await self._repository.create_workspace(connection, workspace, owner=user)
            await self._repository.create_api_key(connection, key, workspace, user, DEFAULT_KEY_NAME, now)
        return NewUser(user, workspace, key.text)

    async def list(self, page: PageRequest) -> Page[User]:
        async with self._postgres.connection() as connection:
            found = await self._repository.list_users(connection, page)
        return page_from(found, page.limit, lambda user: Cursor(user.created_at, user.id))

    async def get(self, user_id: UUID) -> User:
        async with self._postgres.connection() as connection:
            user = await self._repository.find_user(connection, user_id)
        if user is None:
            raise not_found("user")
        return user


def _personal_workspace(owner: User) -> Workspace:
    name = owner.name or owner.email.partition("@")[0]
    return Workspace(WorkspaceId(new_id(owner.created_at)), name, True, DEFAULT_TIMEZONE, owner.created_at)


class Workspaces:
    """Raises Problem, StoreUnavailable."""

    def __init__(self, postgres: Postgres, repository: IdentityRepository) -> None:
        self._postgres = postgres
        self._repository = repository

    async def get(self, workspace_id: WorkspaceId) -> Workspace:
        async with self._postgres.connection() as connection:
            workspace = await self._repository.find_workspace(connection, workspace_id)
        if workspace is None:
            raise not_found("workspace")
        return workspace

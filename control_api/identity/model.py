"""What the API knows of users, workspaces and keys."""

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from control_api.web.permissions import Role
from scanhop.wire.ids import UserId, WorkspaceId


@dataclass(frozen=True)
class User:
    """Somebody with an e-mail address. `role` is user or admin."""

    id: UserId
    email: str
    name: str | None
    role: str
    created_at: datetime
    updated_at: datetime
    version: int = 1


@dataclass(frozen=True)
class NewCredentials:
    """How a new user will sign in, if at all. `email_verified`: somebody we trust vouches for the address."""

    email_verified: bool
    password_hash: str | None = field(default=None, repr=False)
    google_sub: str | None = None


@dataclass(frozen=True)
class SignIn:
    """What is known of a user who wants in; `email_verified_at`: when somebody we trust vouched for the address.

    `google_sub`: whom Google says they are.
    """

    user: User
    password_hash: str | None = field(repr=False)
    email_verified_at: datetime | None
    google_sub: str | None


@dataclass(frozen=True)
class Session:
    """All that follows from one sign-in. It ends at `expires_at` unless it is refreshed."""

    id: UUID
    user_id: UserId
    method: str
    created_at: datetime
    refreshed_at: datetime
    expires_at: datetime


@dataclass(frozen=True)
class PresentedRefresh:
    """A refresh token that somebody presented, with its session and its user, who is locked."""

    session: Session
    user: User
    is_used: bool
    is_ended: bool


@dataclass(frozen=True)
class Workspace:
    """The tenant. `timezone` is an IANA name; `personal`: made for its owner when they were."""

    id: WorkspaceId
    name: str
    personal: bool
    timezone: str
    created_at: datetime
    version: int = 1


@dataclass(frozen=True)
class OwnWorkspace:
    """A workspace as one of its members sees it."""

    workspace: Workspace
    role: Role


@dataclass(frozen=True)
class PersonInWorkspace:
    """Who holds a session, and what they are in a workspace; `workspace_id` None: they are not in it."""

    user_id: UserId
    is_platform_admin: bool
    workspace_id: WorkspaceId | None
    role: Role | None


@dataclass(frozen=True)
class WorkspaceMember:
    """Somebody in a workspace since `created_at`; `version`: of their role; `is_personal`: it is their own one."""

    user_id: UserId
    email: str
    name: str | None
    role: Role
    created_at: datetime
    version: int
    is_personal: bool


@dataclass(frozen=True)
class Invitation:
    """To an address, for a role. It is open until it is accepted, revoked or expired."""

    id: UUID
    workspace_id: WorkspaceId
    email: str
    role: Role
    invited_by: str
    created_at: datetime
    expires_at: datetime


@dataclass(frozen=True)
class ListedKey:
    """A key as its holders may see it."""

    id: str
    user_id: UserId
    name: str
    scopes: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None


@dataclass(frozen=True)
class ApiKey:
    """A stored key of a workspace, by its hash; `role` is what its user is there."""

    id: str
    workspace_id: WorkspaceId
    user_id: UserId
    role: Role
    secret_hash: bytes = field(repr=False)
    scopes: frozenset[str]
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None

    def is_valid(self, now: datetime) -> bool:
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)

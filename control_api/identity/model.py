"""What the API knows of users, workspaces and keys."""

from dataclasses import dataclass
from datetime import datetime

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


@dataclass(frozen=True)
class Workspace:
    """The tenant. `timezone` is an IANA name; `personal`: made for its owner when they were."""

    id: WorkspaceId
    name: str
    personal: bool
    timezone: str
    created_at: datetime


@dataclass(frozen=True)
class ApiKey:
    """A stored key of a workspace, by its hash; `role` is what its user is there."""

    id: str
    workspace_id: WorkspaceId
    user_id: UserId
    role: Role
    secret_hash: bytes
    scopes: frozenset[str]
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None

    def is_valid(self, now: datetime) -> bool:
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)

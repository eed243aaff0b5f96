"""A QR code as the API knows it."""

from dataclasses import dataclass
from datetime import datetime

from scanhop.wire.ids import ProjectId, QrId, WorkspaceId

ACTIVE, PAUSED, ARCHIVED, DELETED, BANNED = "active", "paused", "archived", "deleted", "banned"
LISTED_BY_DEFAULT = (ACTIVE, PAUSED, BANNED)


@dataclass(frozen=True)
class QrCode:
    """One version of a code. `status` is one of the words above."""

    id: QrId
    workspace_id: WorkspaceId
    project_id: ProjectId | None
    name: str
    type: str
    short_code: str
    target_url: str | None
    status: str
    redirect_status: int
    version: int
    tags: list[str]
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True)
class NewQrCode:
    """What a code is to be. `short_code` None: any free one."""

    name: str
    type: str
    target_url: str
    short_code: str | None = None


@dataclass(frozen=True)
class Change:
    """What is to be different; None leaves a field as it is."""

    name: str | None = None
    target_url: str | None = None
    status: str | None = None

    def is_visible_in(self, code: QrCode) -> bool:
        """Whether the code would differ afterwards."""
        wanted = {"name": self.name, "target_url": self.target_url, "status": self.status}
        return any(value is not None and value != getattr(code, name) for name, value in wanted.items())

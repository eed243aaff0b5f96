"""A QR code as the API knows it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from scanhop.wire.ids import ProjectId, QrId, WorkspaceId

ACTIVE, PAUSED, ARCHIVED, DELETED, BANNED = "active", "paused", "archived", "deleted", "banned"
LISTED_BY_DEFAULT = (ACTIVE, PAUSED, BANNED)

ForwardQuery = bool | dict[str, list[str]]
RuleList = list[dict[str, Any]]


@dataclass(frozen=True)
class QrCode:
    """One version of a code. `status` is one of the words above; `domain` is a host, None on the default domain.

    Of a password only the hash is stored, and it never leaves the store but for the edge.
    """

    id: QrId
    workspace_id: WorkspaceId
    project_id: ProjectId | None
    domain: str | None
    name: str
    type: str
    short_code: str
    target_url: str | None
    fallback_url: str | None
    status: str
    redirect_status: int
    forward_query: ForwardQuery
    rules: RuleList
    starts_at: datetime | None
    expires_at: datetime | None
    max_scans: int | None
    has_password: bool
    tags: list[str]
    version: int
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True)
class NewQrCode:
    """What a code is to be. `short_code` None: any free one. `domain` None: the default domain, else a host."""

    name: str
    type: str
    target_url: str
    short_code: str | None = None
    domain: str | None = None
    fallback_url: str | None = None
    redirect_status: int = 302
    forward_query: ForwardQuery = False
    rules: RuleList = field(default_factory=list)
    starts_at: datetime | None = None
    expires_at: datetime | None = None
    max_scans: int | None = None
    password: str | None = field(default=None, repr=False)
    tags: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Change:
    """What is to be different: `fields` by their names and, where `sets_password`, the password; None removes it."""

    fields: Mapping[str, Any]
    sets_password: bool = False
    password: str | None = field(default=None, repr=False)

    def applied_to(self, code: QrCode) -> QrCode:
        has_password = self.password is not None if self.sets_password else code.has_password
        return replace(code, **self.fields, has_password=has_password)

    def is_visible_in(self, code: QrCode) -> bool:
        """Whether the code would differ afterwards. Whether a password is another one cannot be told."""
        return self.password is not None or self.applied_to(code) != code

"""A QR code as the API knows it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson

from scanhop.wire.ids import ProjectId, QrId, UserId, WorkspaceId

ACTIVE, PAUSED, ARCHIVED, DELETED, BANNED = "active", "paused", "archived", "deleted", "banned"

ForwardQuery = bool | dict[str, list[str]]
RuleList = list[dict[str, Any]]
JsonObject = dict[str, Any]


@dataclass(frozen=True)
class QrCode:
    """One version of a code. `status` is one of the words above; `domain` is a host, None on the default domain.

    Of a password only the hash is stored, and it never leaves the store but for the edge. `ban_reason` and `ban_note`
    are those of the last ban, None where it was lifted.
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
    design: JsonObject
    type_data: JsonObject
    ban_reason: str | None
    ban_note: str | None
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
    project_id: UUID | None = None
    fallback_url: str | None = None
    redirect_status: int = 302
    forward_query: ForwardQuery = False
    rules: RuleList = field(default_factory=list)
    starts_at: datetime | None = None
    expires_at: datetime | None = None
    max_scans: int | None = None
    password: str | None = field(default=None, repr=False)
    tags: list[str] = field(default_factory=list)
    design: JsonObject = field(default_factory=dict)
    type_data: JsonObject = field(default_factory=dict)


@dataclass(frozen=True)
class Change:
    """What is to be different: `fields` by their names and, where `sets_password`, the password; None removes it.

    A password that was hashed already comes as `password_hash` instead.
    """

    fields: Mapping[str, Any]
    sets_password: bool = False
    password: str | None = field(default=None, repr=False)
    password_hash: str | None = field(default=None, repr=False)

    @property
    def gives_password(self) -> bool:
        return self.password is not None or self.password_hash is not None

    def applied_to(self, code: QrCode) -> QrCode:
        has_password = self.gives_password if self.sets_password else code.has_password
        return replace(code, **self.fields, has_password=has_password)

    def is_visible_in(self, code: QrCode) -> bool:
        """Whether the code would differ afterwards. Whether a password is another one cannot be told."""
        return (
            self.gives_password
            or (self.sets_password and code.has_password)
            or any(not is_same(value, getattr(code, name)) for name, value in self.fields.items())
        )


def is_same(one: object, other: object) -> bool:
    """As JSON, where true is not 1."""
    if not isinstance(one, dict | list):
        return one == other
    return orjson.dumps(one, option=orjson.OPT_SORT_KEYS) == orjson.dumps(other, option=orjson.OPT_SORT_KEYS)


@dataclass(frozen=True)
class Edit:
    """One change of one code. `if_match`: which version it is for, None is any. `of_deleted`: a deleted code too."""

    qr_id: UUID
    change: Change
    if_match: str | None = None
    reason: str | None = None
    of_deleted: bool = False


@dataclass(frozen=True)
class Author:
    """Who makes a change, in which workspace. `user_id` None: nobody of the workspace.

    `is_platform`: as a platform admin, who may do what the workspace itself may not.
    """

    workspace_id: WorkspaceId
    user_id: UserId | None
    actor: str
    is_platform: bool = False


@dataclass(frozen=True)
class Search:
    """Which codes are wanted: all that is given must be true of them. Ranges are half-open.

    `status` None: all but the archived and the deleted. `text` stands in the name, the short code or the target, in
    any letter case. `tags`: each of them. `domain`: a host, "" the default domain. `in_no_project` and `project_id`
    exclude each other.
    """

    status: str | None = None
    text: str | None = None
    tags: tuple[str, ...] = ()
    project_id: UUID | None = None
    in_no_project: bool = False
    type: str | None = None
    domain: str | None = None
    created_from: datetime | None = None
    created_to: datetime | None = None
    updated_from: datetime | None = None
    updated_to: datetime | None = None


@dataclass(frozen=True)
class Version:
    """One version of a code as its history has it. `snapshot`: the row; `before`: the row of the version before."""

    version: int
    changed_at: datetime
    changed_by: str
    reason: str | None
    snapshot: JsonObject
    before: JsonObject | None


@dataclass(frozen=True)
class ScheduledChange:
    """A change that is to happen at a time. `status`: pending, applied, failed or cancelled."""

    id: UUID
    workspace_id: WorkspaceId
    qr_id: UUID
    at: datetime
    change: JsonObject
    password_hash: str | None = field(repr=False)
    reason: str | None
    status: str
    failure: str | None
    version: int | None
    user_id: UserId | None
    created_by: str
    created_at: datetime
    settled_at: datetime | None

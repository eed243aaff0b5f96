"""Workspaces, members and invitations as JSON."""

from datetime import datetime
from functools import lru_cache
from typing import Annotated
from uuid import UUID
from zoneinfo import available_timezones

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from control_api.identity.invitations import NewInvitation
from control_api.identity.model import Invitation, OwnWorkspace, WorkspaceMember
from control_api.identity.schemas import Email, Token, WorkspaceAnswer
from control_api.web.paging import Page
from control_api.web.partial import Partial, absent
from control_api.web.permissions import Role
from control_api.web.text import Line


@lru_cache(1)
def _zone_names() -> frozenset[str]:
    return frozenset(available_timezones())


def _parse_timezone(name: str) -> str:
    if name not in _zone_names():
        raise ValueError("is no IANA time zone")
    return name


TimeZone = Annotated[
    str, AfterValidator(_parse_timezone), Field(description="IANA name", examples=["Europe/Berlin"], max_length=60)
]


class WorkspaceWanted(BaseModel):
    """A workspace to create."""

    model_config = ConfigDict(extra="forbid")

    name: Line
    timezone: TimeZone | None = None


class WorkspaceChange(Partial):
    """What is to change about a workspace."""

    name: Line = absent()
    timezone: TimeZone = absent()


class OwnWorkspaceAnswer(WorkspaceAnswer):
    """A workspace, and what the caller is in it."""

    role: Role

    @classmethod
    def of_own(cls, own: OwnWorkspace) -> "OwnWorkspaceAnswer":
        return cls(**WorkspaceAnswer.of(own.workspace).model_dump(), role=own.role)


class WorkspacePage(BaseModel):
    """Workspaces, newest first."""

    data: list[OwnWorkspaceAnswer]
    next_cursor: str | None

    @classmethod
    def of(cls, page: Page[OwnWorkspace]) -> "WorkspacePage":
        return cls(data=[OwnWorkspaceAnswer.of_own(own) for own in page.items], next_cursor=page.next_cursor)


class HandOver(BaseModel):
    """Who is to own a workspace."""

    model_config = ConfigDict(extra="forbid")

    user_id: UUID


class MemberAnswer(BaseModel):
    """A member of the workspace."""

    user_id: UUID
    email: str
    name: str | None
    role: Role
    created_at: datetime = Field(description="Since when")
    version: int

    @classmethod
    def of(cls, member: WorkspaceMember) -> "MemberAnswer":
        return cls.model_validate(member, from_attributes=True)


class MemberPage(BaseModel):
    """Members, the latest first."""

    data: list[MemberAnswer]
    next_cursor: str | None

    @classmethod
    def of(cls, page: Page[WorkspaceMember]) -> "MemberPage":
        return cls(data=[MemberAnswer.of(member) for member in page.items], next_cursor=page.next_cursor)


class MemberChange(BaseModel):
    """What a member is to be."""

    model_config = ConfigDict(extra="forbid")

    role: Role


class InvitationWanted(BaseModel):
    """Whom to invite, and as what."""

    model_config = ConfigDict(extra="forbid")

    email: Email
    role: Role


class InvitationAnswer(BaseModel):
    """An open invitation."""

    id: UUID
    email: str
    role: Role
    invited_by: str = Field(examples=["user:01a1fbb3-0000-7000-8000-000000000000"])
    created_at: datetime
    expires_at: datetime

    @classmethod
    def of(cls, invitation: Invitation) -> "InvitationAnswer":
        return cls.model_validate(invitation, from_attributes=True)


class NewInvitationAnswer(InvitationAnswer):
    """A new invitation."""

    token: str = Field(description="Shown this once: hand it to who is invited")

    @classmethod
    def of_new(cls, new: NewInvitation) -> "NewInvitationAnswer":
        return cls(**InvitationAnswer.of(new.invitation).model_dump(), token=new.token)


class InvitationPage(BaseModel):
    """Open invitations, newest first."""

    data: list[InvitationAnswer]
    next_cursor: str | None

    @classmethod
    def of(cls, page: Page[Invitation]) -> "InvitationPage":
        return cls(data=[InvitationAnswer.of(each) for each in page.items], next_cursor=page.next_cursor)


class Acceptance(BaseModel):
    """The token of an invitation."""

    model_config = ConfigDict(extra="forbid")

    token: Token

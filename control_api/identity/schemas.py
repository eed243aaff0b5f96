"""Users and keys as JSON."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from control_api.identity.email_address import parse_email
from control_api.identity.model import ApiKey, User, Workspace
from control_api.identity.service import NewUser
from control_api.web.paging import Page
from control_api.web.text import Line

Email = Annotated[str, AfterValidator(parse_email), Field(examples=["ada@example.com"])]


class UserWanted(BaseModel):
    """A user to create."""

    model_config = ConfigDict(extra="forbid")

    email: Email
    name: Line | None = None
    role: Literal["user", "admin"] = "user"


class UserAnswer(BaseModel):
    """A user."""

    id: UUID
    email: str
    name: str | None
    role: Literal["user", "admin"]
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, user: User) -> "UserAnswer":
        return cls.model_validate(user, from_attributes=True)


class WorkspaceAnswer(BaseModel):
    """A workspace."""

    id: UUID
    name: str
    personal: bool
    timezone: str = Field(description="IANA name; ranges of dates are read in it", examples=["Europe/Berlin"])
    created_at: datetime

    @classmethod
    def of(cls, workspace: Workspace) -> "WorkspaceAnswer":
        return cls.model_validate(workspace, from_attributes=True)


class NewUserAnswer(BaseModel):
    """A new user, their workspace and its first key."""

    user: UserAnswer
    workspace: WorkspaceAnswer
    api_key: str = Field(description="Shown this once")

    @classmethod
    def of(cls, new: NewUser) -> "NewUserAnswer":
        return cls(user=UserAnswer.of(new.user), workspace=WorkspaceAnswer.of(new.workspace), api_key=new.api_key)


class UserPage(BaseModel):
    """Users, newest first."""

    data: list[UserAnswer]
    next_cursor: str | None

    @classmethod
    def of(cls, page: Page[User]) -> "UserPage":
        return cls(data=[UserAnswer.of(user) for user in page.items], next_cursor=page.next_cursor)


class KeyToVerify(BaseModel):
    """A key that somebody presented."""

    model_config = ConfigDict(extra="forbid")

    key: str


class VerifiedKey(BaseModel):
    """What a key opens; everything but `valid` is null when it opens nothing."""

    valid: bool
    workspace_id: UUID | None = None
    user_id: UUID | None = None
    scopes: list[str] | None = None
    expires_at: datetime | None = None

    @classmethod
    def of(cls, key: ApiKey | None) -> "VerifiedKey":
        if key is None:
            return cls(valid=False)
        return cls(
            valid=True,
            workspace_id=key.workspace_id,
            user_id=key.user_id,
            scopes=sorted(key.scopes),
            expires_at=key.expires_at,
        )

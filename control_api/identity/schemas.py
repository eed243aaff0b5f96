"""Users, sessions and keys as JSON."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from control_api.identity.api_keys import KeyWanted, MadeKey
from control_api.identity.email_address import MAX_LENGTH as MAX_EMAIL
from control_api.identity.email_address import PATTERN as EMAIL_PATTERN
from control_api.identity.email_address import parse_email
from control_api.identity.model import ApiKey, ListedKey, SignIn, User, Workspace
from control_api.identity.password import MAX_CHARACTERS, MIN_CHARACTERS, parse_password
from control_api.identity.password_resets import NewReset
from control_api.identity.random_token import MAX_LENGTH
from control_api.identity.sessions import SignedIn
from control_api.identity.users import NewUser
from control_api.web.authentication import Member
from control_api.web.moment import Moment
from control_api.web.paging import Page
from control_api.web.partial import Partial, absent
from control_api.web.permissions import ALL_SCOPES, PERMISSIONS, Role
from control_api.web.text import Line

Email = Annotated[
    str,
    AfterValidator(parse_email),
    Field(json_schema_extra={"pattern": EMAIL_PATTERN, "maxLength": MAX_EMAIL}, examples=["ada@example.com"]),
]


Password = Annotated[
    str,
    AfterValidator(parse_password),
    Field(json_schema_extra={"minLength": MIN_CHARACTERS, "maxLength": MAX_CHARACTERS}),
]
Token = Annotated[str, Field(min_length=1, max_length=MAX_LENGTH)]
Scopes = Annotated[
    list[Annotated[str, Field(max_length=60, json_schema_extra={"enum": [ALL_SCOPES, *PERMISSIONS]})]],
    Field(
        min_length=1,
        max_length=100,
        description="What the key may do, by the table of permissions; `*`: whatever the role of its user allows",
        examples=[["qr-codes:read", "analytics:read"]],
    ),
]


class UserWanted(BaseModel):
    """A user to create."""

    model_config = ConfigDict(extra="forbid")

    email: Email
    name: Line | None = None
    role: Literal["user", "admin"] = "user"


class UserChange(Partial):
    """What is to change about a user; null takes the name away."""

    email: Email = absent()
    name: Line | None = absent()
    role: Literal["user", "admin"] = absent()


class UserAnswer(BaseModel):
    """A user."""

    id: UUID
    email: str
    name: str | None
    role: Literal["user", "admin"]
    created_at: datetime
    updated_at: datetime
    version: int

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
    version: int

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


class Registration(BaseModel):
    """Somebody who wants an account."""

    model_config = ConfigDict(extra="forbid")

    email: Email
    password: Password
    name: Line | None = None


class Login(BaseModel):
    """An address and its password; the password as it was typed."""

    model_config = ConfigDict(extra="forbid")

    email: Email
    password: Annotated[str, Field(max_length=MAX_CHARACTERS)]


class RefreshToken(BaseModel):
    """The refresh token that was answered last."""

    model_config = ConfigDict(extra="forbid")

    refresh_token: Token


class SessionAnswer(BaseModel):
    """Who has signed in, and the tokens of the session."""

    access_token: str = Field(description="Send it as `Authorization: Bearer TOKEN`")
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105 - the name of a scheme
    expires_in: int = Field(description="Seconds that the access token is good for")
    refresh_token: str = Field(description="Good for one refresh; used twice, it ends the session")
    user: UserAnswer
    workspace: WorkspaceAnswer = Field(description="The personal one")

    @classmethod
    def of(cls, signed_in: SignedIn) -> "SessionAnswer":
        return cls(
            access_token=signed_in.access_token,
            expires_in=signed_in.expires_in,
            refresh_token=signed_in.refresh_token,
            user=UserAnswer.of(signed_in.user),
            workspace=WorkspaceAnswer.of(signed_in.workspace),
        )


class ForgottenPassword(BaseModel):
    """Whose password is to be reset."""

    model_config = ConfigDict(extra="forbid")

    email: Email


class ResetAsked(BaseModel):
    """The same whether or not somebody has the address."""

    status: Literal["accepted"] = "accepted"


class ResetWanted(BaseModel):
    """The token of a reset and the password to set."""

    model_config = ConfigDict(extra="forbid")

    token: Token
    password: Password


class ResetAnswer(BaseModel):
    """A password reset to hand on."""

    token: str = Field(description="Shown this once")
    expires_at: datetime

    @classmethod
    def of(cls, reset: NewReset) -> "ResetAnswer":
        return cls(token=reset.token, expires_at=reset.expires_at)


class ProfileAnswer(UserAnswer):
    """The caller, where they are asking, and what they may there."""

    email_verified: bool
    has_password: bool
    workspace_id: UUID
    workspace_role: Role
    scopes: list[str] = Field(description="Those of the key; of who is signed in `*`: all that the role allows")
    key_id: str | None = Field(description="None of who is signed in")

    @classmethod
    def of_sign_in(cls, found: SignIn, caller: Member) -> "ProfileAnswer":
        return cls(
            **UserAnswer.of(found.user).model_dump(),
            email_verified=found.email_verified_at is not None,
            has_password=found.password_hash is not None,
            workspace_id=caller.workspace_id,
            workspace_role=caller.role,
            scopes=sorted(caller.scopes),
            key_id=caller.key_id,
        )


class ProfileChange(Partial):
    """What is to change about oneself; null takes the name away."""

    name: Line | None = absent()


class PasswordChange(BaseModel):
    """A new password; who has none yet leaves out the current one."""

    model_config = ConfigDict(extra="forbid")

    current_password: Annotated[str, Field(max_length=MAX_CHARACTERS)] | None = None
    new_password: Password


class KeyCreation(BaseModel):
    """A key to create."""

    model_config = ConfigDict(extra="forbid")

    name: Line
    scopes: Scopes | None = None
    expires_at: Moment | None = None

    def to_model(self) -> KeyWanted:
        return KeyWanted(self.name, self.scopes, self.expires_at)


class KeyAnswer(BaseModel):
    """A key, without its secret."""

    id: str = Field(description="The middle part of the key", examples=["mfrggzdfmztwq2lk"])
    user_id: UUID = Field(description="Whose key it is; their role counts at every use")
    name: str
    scopes: list[str]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None = Field(description="To the minute")

    @classmethod
    def of(cls, key: ListedKey) -> "KeyAnswer":
        return cls.model_validate(key, from_attributes=True)


class NewKeyAnswer(KeyAnswer):
    """A new key."""

    api_key: str = Field(description="Shown this once")

    @classmethod
    def of_made(cls, made: MadeKey) -> "NewKeyAnswer":
        return cls(**KeyAnswer.of(made.key).model_dump(), api_key=made.text)


class KeyPage(BaseModel):
    """Keys that are not revoked, newest first."""

    data: list[KeyAnswer]
    next_cursor: str | None

    @classmethod
    def of(cls, page: Page[ListedKey]) -> "KeyPage":
        return cls(data=[KeyAnswer.of(key) for key in page.items], next_cursor=page.next_cursor)


class RegeneratedKey(BaseModel):
    """The key named `default` of the user's personal workspace."""

    api_key: str = Field(description="Shown this once")

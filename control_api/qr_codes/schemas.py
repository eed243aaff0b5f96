"""QR codes as JSON."""

from datetime import datetime
from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, model_validator

from control_api.qr_codes.code_fields import (
    Closing,
    CodeType,
    CustomCode,
    DesignObject,
    Fallback,
    MaxScans,
    Opening,
    Password,
    Reason,
    RedirectStatus,
    SettableStatus,
    Status,
    StoredObject,
    Tags,
    Target,
)
from control_api.qr_codes.model import ACTIVE, Change, Edit, NewQrCode, QrCode
from control_api.qr_codes.routing_fields import AnsweredForwardQuery, AnsweredRules, ForwardQuery, Rules
from control_api.web.paging import Page
from control_api.web.partial import Partial, absent
from control_api.web.text import Line


class QrCodeWanted(BaseModel):
    """A QR code to create."""

    model_config = ConfigDict(extra="forbid")

    name: Line
    type: CodeType = "url"
    target_url: Target
    short_code: CustomCode | None = None
    domain: Annotated[
        str | None,
        Field(description="The host of a verified domain; the default domain if absent", examples=["qr.example.com"]),
    ] = None
    project_id: UUID | None = None
    fallback_url: Fallback | None = None
    redirect_status: RedirectStatus = 302
    forward_query: ForwardQuery = False
    rules: Rules = []
    starts_at: Opening | None = None
    expires_at: Closing | None = None
    max_scans: MaxScans | None = None
    password: Password | None = None
    tags: Tags = []
    design: DesignObject = {}
    type_data: StoredObject = {}

    def to_model(self) -> NewQrCode:
        return NewQrCode(**{name: getattr(self, name) for name in type(self).model_fields})


class ChangedFields(Partial):
    """What is to change; null clears a field. At least one field."""

    name: Line = absent()
    target_url: Target = absent()
    status: SettableStatus = absent()
    project_id: UUID | None = absent()
    fallback_url: Fallback | None = absent()
    redirect_status: RedirectStatus = absent()
    forward_query: ForwardQuery = absent()
    rules: Rules = absent()
    starts_at: Opening | None = absent()
    expires_at: Closing | None = absent()
    max_scans: MaxScans | None = absent()
    password: Password | None = absent()
    tags: Tags = absent()
    design: DesignObject = absent()
    type_data: StoredObject = absent()

    def to_model(self) -> Change:
        fields = {name: value for name, value in self.sent_fields().items() if name in ChangedFields.model_fields}
        sets_password = "password" in fields
        password = fields.pop("password", None)
        return Change(fields, sets_password, password)

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        """In place of Partial's: what a subclass adds, a reason for instance, changes nothing."""
        if self.model_fields_set.isdisjoint(ChangedFields.model_fields):
            raise ValueError(f"must hold at least one of {', '.join(ChangedFields.model_fields)}")
        return self


class QrCodeChange(ChangedFields):
    """What is to change; null clears a field. At least one field besides `reason`."""

    reason: Reason | None = absent()

    def to_edit(self, qr_id: UUID, if_match: str | None) -> Edit:
        return Edit(qr_id, self.to_model(), if_match, self.reason)


class QrCodeAnswer(BaseModel):
    """A QR code."""

    id: UUID
    workspace_id: UUID
    project_id: UUID | None
    name: str
    type: str
    domain: str | None = Field(description="The host it sits on; null: the default domain")
    short_code: str
    short_url: str = Field(description="What the symbol leads to", examples=["https://qr.example.com/r/menu"])
    target_url: str | None
    fallback_url: str | None
    status: Status
    is_active: bool
    ban_reason: str | None = Field(description="abuse or legal, of a banned code")
    ban_note: str | None = Field(description="What the platform admin says of the ban")
    redirect_status: int
    forward_query: AnsweredForwardQuery
    rules: AnsweredRules
    starts_at: datetime | None
    expires_at: datetime | None
    max_scans: int | None
    has_password: bool
    version: int = Field(description="Grows by one with every change; also the ETag")
    tags: list[str]
    design: dict[str, Any]
    type_data: dict[str, Any]
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, code: QrCode, public_url: str) -> "QrCodeAnswer":
        derived: dict[str, Any] = {
            "short_url": _short_url(code, public_url),
            "is_active": code.status == ACTIVE,
        }
        return cls.model_validate(vars(code) | derived)


class QrCodePage(BaseModel):
    """QR codes, in the order that was asked for."""

    data: list[QrCodeAnswer]
    next_cursor: str | None

    @classmethod
    def of(cls, page: Page[QrCode], public_url: str) -> "QrCodePage":
        return cls(data=[QrCodeAnswer.of(code, public_url) for code in page.items], next_cursor=page.next_cursor)


class TagAnswer(BaseModel):
    """A tag of the workspace."""

    name: str
    codes: int = Field(description="How many codes that are not deleted have it")


class TagPage(BaseModel):
    """Tags by their names."""

    data: list[TagAnswer]
    next_cursor: str | None

    @classmethod
    def of(cls, page: Page[tuple[str, int]]) -> "TagPage":
        tags = [TagAnswer(name=name, codes=codes) for name, codes in page.items]
        return cls(data=tags, next_cursor=page.next_cursor)


def _short_url(code: QrCode, public_url: str) -> str:
    """On a custom domain in the same scheme, and without a prefix."""
    if code.domain is None:
        return f"{public_url}/r/{code.short_code}"
    scheme = public_url.partition("://")[0]
    return f"{scheme}://{code.domain}/{code.short_code}"

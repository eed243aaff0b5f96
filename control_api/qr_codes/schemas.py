"""QR codes as JSON."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from control_api.qr_codes.model import ACTIVE, Change, NewQrCode, QrCode
from control_api.qr_codes.password import MAX_CHARACTERS, parse_password
from control_api.qr_codes.routing_fields import AnsweredForwardQuery, AnsweredRules, ForwardQuery, Rules
from control_api.web.moment import Moment
from control_api.web.paging import Page
from control_api.web.partial import Partial, absent
from control_api.web.text import Line
from scanhop.routing.targets import parse_target
from scanhop.wire.short_codes import parse_custom_code

MAX_TAGS = 20
MAX_TAG = 50


def _require_code(text: str) -> str:
    """As it was written: only its domain says whether letter case counts. Raises InvalidShortCode."""
    parse_custom_code(text)
    return text


def _without_repetitions(tags: list[str]) -> list[str]:
    return list(dict.fromkeys(tags))


Target = Annotated[
    str,
    AfterValidator(parse_target),
    Field(description="Where a scan is sent; http or https", examples=["https://example.com/menu"]),
]
Fallback = Annotated[
    str,
    AfterValidator(parse_target),
    Field(description="Where a scan is sent while the code is paused, outside its time or over its limit"),
]
CustomCode = Annotated[
    str,
    AfterValidator(_require_code),
    Field(
        description="1 to 63 characters of a-z, 0-9, '-', '_'; any free one if absent. "
        "In lower case, but on a domain whose codes are exact",
        examples=["menu"],
    ),
]
Password = Annotated[
    str,
    AfterValidator(parse_password),
    Field(
        description="Asked for before a scan is sent on; never answered",
        json_schema_extra={"minLength": 1, "maxLength": MAX_CHARACTERS, "writeOnly": True},
    ),
]
Opening = Annotated[Moment, Field(description="From when on it redirects")]
Closing = Annotated[Moment, Field(description="Until when it redirects; later than starts_at")]
MaxScans = Annotated[int, Field(strict=True, ge=1, le=10**15, description="After so many scans it stops redirecting")]
Tag = Annotated[Line, Field(max_length=MAX_TAG)]
Tags = Annotated[list[Tag], Field(max_length=MAX_TAGS), AfterValidator(_without_repetitions)]
RedirectStatus = Literal[301, 302, 307, 308]
Status = Literal["active", "paused", "archived", "banned"]
SettableStatus = Literal["active", "paused", "archived"]


class QrCodeWanted(BaseModel):
    """A QR code to create."""

    model_config = ConfigDict(extra="forbid")

    name: Line
    type: Literal["url"] = "url"
    target_url: Target
    short_code: CustomCode | None = None
    domain: Annotated[
        str | None,
        Field(description="The host of a verified domain; the default domain if absent", examples=["qr.example.com"]),
    ] = None
    fallback_url: Fallback | None = None
    redirect_status: RedirectStatus = 302
    forward_query: ForwardQuery = False
    rules: Rules = []
    starts_at: Opening | None = None
    expires_at: Closing | None = None
    max_scans: MaxScans | None = None
    password: Password | None = None
    tags: Tags = []

    def to_model(self) -> NewQrCode:
        return NewQrCode(**{name: getattr(self, name) for name in type(self).model_fields})


class QrCodeChange(Partial):
    """What is to change; null clears a field. At least one field."""

    name: Line = absent()
    target_url: Target = absent()
    status: SettableStatus = absent()
    fallback_url: Fallback | None = absent()
    redirect_status: RedirectStatus = absent()
    forward_query: ForwardQuery = absent()
    rules: Rules = absent()
    starts_at: Opening | None = absent()
    expires_at: Closing | None = absent()
    max_scans: MaxScans | None = absent()
    password: Password | None = absent()
    tags: Tags = absent()

    def to_model(self) -> Change:
        fields = self.sent_fields()
        sets_password = "password" in fields
        password = fields.pop("password", None)
        return Change(fields, sets_password, password)


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
    redirect_status: int
    forward_query: AnsweredForwardQuery
    rules: AnsweredRules
    starts_at: datetime | None
    expires_at: datetime | None
    max_scans: int | None
    has_password: bool
    version: int = Field(description="Grows by one with every change; also the ETag")
    tags: list[str]
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
    """QR codes, newest first."""

    data: list[QrCodeAnswer]
    next_cursor: str | None

    @classmethod
    def of(cls, page: Page[QrCode], public_url: str) -> "QrCodePage":
        return cls(data=[QrCodeAnswer.of(code, public_url) for code in page.items], next_cursor=page.next_cursor)


def _short_url(code: QrCode, public_url: str) -> str:
    """On a custom domain in the same scheme, and without a prefix."""
    if code.domain is None:
        return f"{public_url}/r/{code.short_code}"
    scheme = public_url.partition("://")[0]
    return f"{scheme}://{code.domain}/{code.short_code}"

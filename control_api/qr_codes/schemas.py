"""QR codes as JSON."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from control_api.qr_codes.model import ACTIVE, Change, NewQrCode, QrCode
from control_api.web.paging import Page
from control_api.web.partial import Partial, absent
from control_api.web.text import Line
from scanhop.routing.targets import parse_target
from scanhop.wire.short_codes import parse_custom_code

Target = Annotated[
    str,
    AfterValidator(parse_target),
    Field(description="Where a scan is sent; http or https", examples=["https://example.com/menu"]),
]
CustomCode = Annotated[
    str,
    AfterValidator(parse_custom_code),
    Field(description="1 to 63 characters of a-z, 0-9, '-', '_'; any free one if absent", examples=["menu"]),
]
Status = Literal["active", "paused", "archived", "banned"]
SettableStatus = Literal["active", "paused", "archived"]


class QrCodeWanted(BaseModel):
    """A QR code to create."""

    model_config = ConfigDict(extra="forbid")

    name: Line
    type: Literal["url"] = "url"
    target_url: Target
    short_code: CustomCode | None = None

    def to_model(self) -> NewQrCode:
        return NewQrCode(self.name, self.type, self.target_url, self.short_code)


class QrCodeChange(Partial):
    """What is to change; at least one field."""

    name: Line = absent()
    target_url: Target = absent()
    status: SettableStatus = absent()

    def to_model(self) -> Change:
        return Change(**self.model_dump(exclude_unset=True))


class QrCodeAnswer(BaseModel):
    """A QR code."""

    id: UUID
    workspace_id: UUID
    project_id: UUID | None
    name: str
    type: str
    short_code: str
    short_url: str = Field(description="What the symbol leads to", examples=["https://qr.example.com/r/menu"])
    target_url: str | None
    status: Status
    is_active: bool
    redirect_status: int
    version: int = Field(description="Grows by one with every change; also the ETag")
    tags: list[str]
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, code: QrCode, public_url: str) -> "QrCodeAnswer":
        derived: dict[str, Any] = {
            "short_url": f"{public_url}/r/{code.short_code}",
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

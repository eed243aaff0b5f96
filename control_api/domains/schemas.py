"""Custom domains as JSON."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from control_api.domains.host import MAX_HOST, parse_host
from control_api.domains.model import Change, Domain, NewDomain
from control_api.web.paging import Page
from control_api.web.partial import Partial, absent
from scanhop.routing.targets import TARGET_PATTERN, parse_target

Host = Annotated[
    str,
    AfterValidator(parse_host),
    Field(
        description="A name without scheme and port; stored in lower case, IDNA in ASCII",
        json_schema_extra={"minLength": 1, "maxLength": MAX_HOST},
        examples=["qr.example.com"],
    ),
]
NotFoundUrl = Annotated[
    str,
    AfterValidator(parse_target),
    Field(
        description="Where scans of unknown codes are sent; null: a page says so",
        json_schema_extra={"pattern": TARGET_PATTERN},
        examples=["https://example.com/not-found"],
    ),
]
CodeCase = Annotated[
    Literal["fold", "exact"],
    Field(description="Whether the letter case of a scanned code is ignored or counts; fixed at creation"),
]


class DomainWanted(BaseModel):
    """A custom domain to create."""

    model_config = ConfigDict(extra="forbid")

    host: Host
    code_case: CodeCase = "fold"
    not_found_url: NotFoundUrl | None = None

    def to_model(self) -> NewDomain:
        return NewDomain(self.host, self.code_case, self.not_found_url)


class DomainChange(Partial):
    """What is to change."""

    not_found_url: NotFoundUrl | None = absent()

    def to_model(self) -> Change:
        return Change(self.sent_fields())


class DomainAnswer(BaseModel):
    """A custom domain."""

    id: UUID
    workspace_id: UUID
    host: str
    code_case: CodeCase
    not_found_url: str | None
    is_verified: bool = Field(description="Only a verified domain takes codes and answers scans")
    verified_at: datetime | None
    version: int = Field(description="Grows by one with every change; also the ETag")
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, domain: Domain) -> "DomainAnswer":
        return cls.model_validate(domain, from_attributes=True)


class DomainPage(BaseModel):
    """Custom domains, newest first."""

    data: list[DomainAnswer]
    next_cursor: str | None

    @classmethod
    def of(cls, page: Page[Domain]) -> "DomainPage":
        return cls(data=[DomainAnswer.of(domain) for domain in page.items], next_cursor=page.next_cursor)

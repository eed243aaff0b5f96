"""The audit log as JSON."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, Query
from pydantic import BaseModel, Field

from control_api.audit.model import AuditEntry, AuditFilter
from control_api.web.moment import AskedRange
from control_api.web.paging import Page

_NAME = r"^[\x21-\x7e]{1,200}$"


class AuditEntryAnswer(BaseModel):
    """A change of something."""

    id: UUID
    workspace_id: UUID | None = Field(description="null: the platform's own affairs")
    at: datetime
    actor: str = Field(
        description="`user:<id>`, `key:<id>`, `platform-admin` or `system`", examples=["key:mbj2oucwjoxzdcvf"]
    )
    action: str = Field(description="What was done to what kind of object", examples=["domain.created"])
    object_id: str = Field(examples=["019ab2c4-5f00-7a3e-9d1c-0f4d2c1b9a77"])
    changes: dict[str, Any] = Field(
        description="The fields that were set; never a secret", examples=[{"host": "qr.example.com"}]
    )
    reason: str | None = Field(description="As the actor gave it")
    request_id: str | None = Field(description="The `X-Request-Id` of the request that did it")

    @classmethod
    def of(cls, entry: AuditEntry) -> "AuditEntryAnswer":
        return cls.model_validate(entry, from_attributes=True)


class AuditPage(BaseModel):
    """Changes, newest first."""

    data: list[AuditEntryAnswer]
    next_cursor: str | None

    @classmethod
    def of(cls, page: Page[AuditEntry]) -> "AuditPage":
        return cls(data=[AuditEntryAnswer.of(entry) for entry in page.items], next_cursor=page.next_cursor)


def _asked_filter(
    asked: AskedRange,
    action: Annotated[
        str | None, Query(pattern=_NAME, description="Only this one", examples=["domain.created"])
    ] = None,
    actor: Annotated[
        str | None, Query(pattern=_NAME, description="Only what they did", examples=["platform-admin"])
    ] = None,
    object_id: Annotated[str | None, Query(pattern=_NAME, description="Only what was done to it")] = None,
) -> AuditFilter:
    return AuditFilter(action, actor, object_id, asked.start, asked.end)


AskedFilter = Annotated[AuditFilter, Depends(_asked_filter)]

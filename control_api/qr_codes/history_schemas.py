"""The history of a code and its scheduled changes as JSON."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from control_api.qr_codes.code_fields import Reason
from control_api.qr_codes.model import ScheduledChange, Version
from control_api.qr_codes.schemas import ChangedFields
from control_api.qr_codes.stored_fields import HAS_PASSWORD, ROLLED_BACK, find_differences
from control_api.web.moment import Moment
from control_api.web.paging import Page


class Difference(BaseModel):
    """One field that a version changed. Of a password: whether there was one, and is one."""

    model_config = ConfigDict(populate_by_name=True)

    field: str
    before: Any = Field(serialization_alias="from")
    after: Any = Field(serialization_alias="to")


class VersionAnswer(BaseModel):
    """One version of a code."""

    version: int
    changed_at: datetime
    changed_by: str = Field(description="user:ID, key:ID, platform-admin or system")
    reason: str | None
    changes: list[Difference] = Field(description="Against the version before; empty for the first one")
    fields: dict[str, Any] = Field(description="What a rollback to this version would bring back")

    @classmethod
    def of(cls, version: Version) -> "VersionAnswer":
        return cls(
            version=version.version,
            changed_at=version.changed_at,
            changed_by=version.changed_by,
            reason=version.reason,
            changes=[
                Difference(field=name, before=before, after=after)
                for name, before, after in find_differences(version.before, version.snapshot)
            ],
            fields={name: version.snapshot.get(name) for name in ROLLED_BACK},
        )


class VersionPage(BaseModel):
    """Versions, newest first."""

    data: list[VersionAnswer]
    next_cursor: str | None

    @classmethod
    def of(cls, page: Page[Version]) -> "VersionPage":
        return cls(data=[VersionAnswer.of(each) for each in page.items], next_cursor=page.next_cursor)


class RollbackWanted(BaseModel):
    """Which version to go back to."""

    model_config = ConfigDict(extra="forbid")

    version: Annotated[int, Field(strict=True, ge=1, lt=2**63)]
    reason: Reason | None = None


class ScheduledChangeWanted(BaseModel):
    """A change that is to happen at a time."""

    model_config = ConfigDict(extra="forbid")

    at: Annotated[Moment, Field(description="When; in the future")]
    change: ChangedFields
    reason: Reason | None = None


class ScheduledChangeAnswer(BaseModel):
    """A scheduled change."""

    id: UUID
    qr_id: UUID
    at: datetime
    change: dict[str, Any] = Field(description="As it was sent; `password` is true where one is set")
    reason: str | None
    status: Literal["pending", "applied", "failed", "cancelled"]
    failure: str | None = Field(description="Why it failed")
    version: int | None = Field(description="The version of the code once it was applied")
    created_by: str
    created_at: datetime
    settled_at: datetime | None

    @classmethod
    def of(cls, change: ScheduledChange) -> "ScheduledChangeAnswer":
        told = {"password" if name == HAS_PASSWORD else name: value for name, value in change.change.items()}
        return cls.model_validate(vars(change) | {"change": told})


class ScheduledChangePage(BaseModel):
    """Scheduled changes, the one that is to happen last first."""

    data: list[ScheduledChangeAnswer]
    next_cursor: str | None

    @classmethod
    def of(cls, page: Page[ScheduledChange]) -> "ScheduledChangePage":
        return cls(data=[ScheduledChangeAnswer.of(each) for each in page.items], next_cursor=page.next_cursor)

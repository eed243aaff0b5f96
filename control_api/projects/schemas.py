"""Projects as JSON."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from control_api.projects.model import Change, Project
from control_api.web.paging import Page
from control_api.web.partial import Partial, absent
from control_api.web.text import Line

MAX_MOVED = 1000

Color = Annotated[
    str,
    Field(pattern="^#[0-9a-fA-F]{6}$", description="Of its symbol, #rrggbb", examples=["#0a7d55"]),
    AfterValidator(str.lower),
]


class ProjectWanted(BaseModel):
    """A project to create."""

    model_config = ConfigDict(extra="forbid")

    name: Line
    color: Color | None = None


class ProjectChange(Partial):
    """What is to change; null clears the color. At least one field."""

    name: Line = absent()
    color: Color | None = absent()

    def to_model(self) -> Change:
        return Change(self.sent_fields())


class CodesToMove(BaseModel):
    """Codes to put into the project."""

    model_config = ConfigDict(extra="forbid")

    qr_ids: Annotated[list[UUID], Field(min_length=1, max_length=MAX_MOVED)]


class MovedCodes(BaseModel):
    """Which of them are in the project now, and which there are not."""

    moved: list[UUID]
    not_found: list[UUID]

    @classmethod
    def of(cls, asked_for: Sequence[UUID], moved: frozenset[UUID]) -> "MovedCodes":
        once = list(dict.fromkeys(asked_for))
        return cls(
            moved=[each for each in once if each in moved], not_found=[each for each in once if each not in moved]
        )


class ProjectAnswer(BaseModel):
    """A project."""

    id: UUID
    workspace_id: UUID
    name: str
    color: str | None
    codes: int = Field(description="How many codes are in it that are not deleted")
    version: int = Field(description="Grows by one with every change; also the ETag")
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, project: Project) -> "ProjectAnswer":
        return cls.model_validate(vars(project))


class ProjectPage(BaseModel):
    """Projects, newest first."""

    data: list[ProjectAnswer]
    next_cursor: str | None

    @classmethod
    def of(cls, page: Page[Project]) -> "ProjectPage":
        return cls(data=[ProjectAnswer.of(each) for each in page.items], next_cursor=page.next_cursor)

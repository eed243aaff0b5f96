"""A project as the API knows it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from scanhop.wire.ids import ProjectId, WorkspaceId


@dataclass(frozen=True)
class Project:
    """A folder of codes. `color` is #rrggbb; `codes`: how many are in it that are not deleted."""

    id: ProjectId
    workspace_id: WorkspaceId
    name: str
    color: str | None
    codes: int
    version: int
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True)
class Change:
    """The fields that are to be different, by their names."""

    fields: Mapping[str, Any]

    def applied_to(self, project: Project) -> Project:
        return replace(project, **self.fields)

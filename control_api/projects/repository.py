"""Projects in Postgres. Each method runs in the transaction of the connection it is given."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from control_api.projects.model import Project
from control_api.web.paging import PageRequest
from scanhop.stores.postgres import Connection
from scanhop.stores.sql import load_queries
from scanhop.wire.ids import UserId, WorkspaceId


class ProjectRepository:
    """Reads its statements once. Every statement names the workspace."""

    def __init__(self) -> None:
        self._sql = load_queries("control_api.projects")

    async def create(  # noqa: PLR0913 - the columns
        self,
        connection: Connection,
        workspace_id: WorkspaceId,
        user_id: UserId,
        project_id: UUID,
        name: str,
        color: str | None,
        now: datetime,
    ) -> Project:
        columns = (workspace_id, project_id, user_id, name, color, now)
        [row] = await connection.fetch(self._sql["create_project"], *columns)
        return Project(**row)

    async def list(self, connection: Connection, workspace_id: WorkspaceId, page: PageRequest) -> list[Project]:
        """One more than the page holds, where there are more."""
        after = (page.after.created_at, page.after.id) if page.after else (None, None)
        rows = await connection.fetch(self._sql["list_projects"], workspace_id, *after, page.limit + 1)
        return [Project(**row) for row in rows]

    async def find(self, connection: Connection, workspace_id: WorkspaceId, project_id: UUID) -> Project | None:
        row = await connection.fetchrow(self._sql["find_project"], workspace_id, project_id)
        return None if row is None else Project(**row)

    async def lock(
        self, connection: Connection, workspace_id: WorkspaceId, ids: Iterable[UUID]
    ) -> dict[UUID, Project]:
        """Those that there are, by id."""
        rows = await connection.fetch(self._sql["lock_projects"], workspace_id, sorted(ids))
        return {row["id"]: Project(**row) for row in rows}

    async def update(self, connection: Connection, wanted: Project, now: datetime) -> Project:
        """The next version, which says what `wanted` says. Lock the project first."""
        columns = (wanted.workspace_id, wanted.id, now, wanted.name, wanted.color)
        [row] = await connection.fetch(self._sql["update_project"], *columns)
        return replace(wanted, **dict(row))

    async def delete(self, connection: Connection, project: Project) -> None:
        """Once no code is in it."""
        await connection.execute(self._sql["delete_project"], project.workspace_id, project.id)

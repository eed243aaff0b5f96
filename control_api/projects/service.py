"""What can be done with projects.

A code that is moved is a new version of its route, which scans carry: it is written and published as any change of a
code. A project that is deleted is locked first: a code that is being put into it waits, and is refused afterwards;
one that got in before is moved out with the others. Projects are locked before codes, everywhere.
"""

from collections.abc import Collection, Sequence
from typing import Protocol
from uuid import UUID

from control_api.audit.trail import AuditTrail
from control_api.clock import Clock, new_id
from control_api.projects.model import Change, Project
from control_api.projects.repository import ProjectRepository
from control_api.web.authentication import Member
from control_api.web.paging import Cursor, Page, PageRequest, page_from
from control_api.web.problem import invalid_parameter, not_found
from control_api.web.versions import require_version
from scanhop.stores.postgres import Connection, Postgres
from scanhop.wire.route import Route


class CodeMoves(Protocol):
    """Knows how codes change their projects, in the transaction of the connection."""

    async def move_in(
        self, connection: Connection, caller: Member, qr_ids: Sequence[UUID], project_id: UUID
    ) -> tuple[frozenset[UUID], Sequence[Route]]:
        """Those that are in it now. Lock the project first."""

    async def move_out(
        self, connection: Connection, caller: Member, project_id: UUID, *, to: UUID | None, archive: bool
    ) -> tuple[int, Sequence[Route]]:
        """All that are in it, deleted ones too; how many. Lock the projects first."""

    async def publish(self, routes: Collection[Route]) -> None:
        """Once the transaction is over."""


class Projects:
    """One transaction per call. Raises Problem, StoreUnavailable."""

    def __init__(
        self,
        postgres: Postgres,
        repository: ProjectRepository,
        moves: CodeMoves,
        audit: AuditTrail,
        clock: Clock,
    ) -> None:
        self._postgres = postgres
        self._repository = repository
        self._moves = moves
        self._audit = audit
        self._clock = clock

    async def create(self, caller: Member, name: str, color: str | None) -> Project:
        now = self._clock()
        async with self._postgres.transaction() as connection:
            project = await self._repository.create(
                connection, caller.workspace_id, caller.user_id, new_id(now), name, color, now
            )
            told = {"name": name, "color": color}
            await self._audit.record(
                connection, caller.workspace_id, caller.actor, "project.created", project.id, now, changes=told
            )
        return project

    async def list(self, caller: Member, page: PageRequest) -> Page[Project]:
        async with self._postgres.connection() as connection:
            found = await self._repository.list(connection, caller.workspace_id, page)
        return page_from(found, page, lambda project: Cursor(project.created_at, project.id))

    async def get(self, caller: Member, project_id: UUID) -> Project:
        async with self._postgres.connection() as connection:
            return _require(await self._repository.find(connection, caller.workspace_id, project_id))

    async def update(self, caller: Member, project_id: UUID, change: Change, if_match: str | None) -> Project:
        """The next version, or the project as it is when nothing would differ."""
        now = self._clock()
        async with self._postgres.transaction() as connection:
            project = await self._lock(connection, caller, project_id, if_match)
            wanted = change.applied_to(project)
            if wanted == project:
                return project
            project = await self._repository.update(connection, wanted, now)
            await self._audit.record(
                connection,
                caller.workspace_id,
                caller.actor,
                "project.changed",
                project_id,
                now,
                changes=change.fields,
            )
        return project

    async def move_in(self, caller: Member, project_id: UUID, qr_ids: Sequence[UUID]) -> frozenset[UUID]:
        """Those codes that are in the project now."""
        async with self._postgres.transaction() as connection:
            await self._lock(connection, caller, project_id, None)
            moved, routes = await self._moves.move_in(connection, caller, qr_ids, project_id)
        await self._moves.publish(routes)
        return moved

    async def delete(
        self, caller: Member, project_id: UUID, if_match: str | None, *, move_to: UUID | None, archive: bool
    ) -> None:
        """Its codes leave it: for `move_to` where that is a project, into the archive where `archive`."""
        now = self._clock()
        async with self._postgres.transaction() as connection:
            wanted = {project_id} if move_to is None else {project_id, move_to}
            found = await self._repository.lock(connection, caller.workspace_id, wanted)
            project = _require(found.get(project_id))
            require_version(if_match, project.version)
            if move_to == project_id or wanted - found.keys():
                raise invalid_parameter("move_to", "is no other project of the workspace")
            codes, routes = await self._moves.move_out(connection, caller, project_id, to=move_to, archive=archive)
            await self._repository.delete(connection, project)
            told = {"codes": codes, "moved_to": move_to, "archived": archive}
            await self._audit.record(
                connection, caller.workspace_id, caller.actor, "project.deleted", project_id, now, changes=told
            )
        await self._moves.publish(routes)

    async def _lock(self, connection: Connection, caller: Member, project_id: UUID, if_match: str | None) -> Project:
        found = await self._repository.lock(connection, caller.workspace_id, [project_id])
        project = _require(found.get(project_id))
        require_version(if_match, project.version)
        return project


def _require(project: Project | None) -> Project:
    if project is None:
        raise not_found("project")
    return project

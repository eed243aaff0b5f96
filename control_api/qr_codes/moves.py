"""Codes that change their project, for the domain of projects; each moved code is a new version."""

from collections.abc import Collection, Sequence
from uuid import UUID

from control_api.qr_codes.change_code import CodeChanges
from control_api.qr_codes.model import ACTIVE, ARCHIVED, PAUSED, Author, Change, Edit, QrCode
from control_api.qr_codes.repository import QrCodeRepository
from control_api.web.authentication import Member
from control_api.web.problem import Problem
from scanhop.stores.postgres import Connection
from scanhop.wire.route import Route

MOVED = "qr_code.moved"
BATCH = 1000


class CodeMoves:
    """Each method but `publish` runs in the transaction of its connection."""

    def __init__(self, repository: QrCodeRepository, changes: CodeChanges) -> None:
        self._repository = repository
        self._changes = changes

    async def move_in(
        self, connection: Connection, caller: Member, qr_ids: Sequence[UUID], project_id: UUID
    ) -> tuple[frozenset[UUID], Sequence[Route]]:
        """Those that are in it now. Lock the project first."""
        edits = [Edit(qr_id, Change({"project_id": project_id})) for qr_id in dict.fromkeys(qr_ids)]
        outcomes, routes = await self._changes.change_within(connection, _author(caller), edits, MOVED)
        return frozenset(outcome.id for outcome in outcomes if isinstance(outcome, QrCode)), routes

    async def move_out(
        self, connection: Connection, caller: Member, project_id: UUID, *, to: UUID | None, archive: bool
    ) -> tuple[int, Sequence[Route]]:
        """All that are in it, deleted ones too; how many. Lock the projects first."""
        moved, routes = 0, list[Route]()
        reason = "its project was deleted"
        while found := await self._repository.lock_of_project(connection, caller.workspace_id, project_id, BATCH):
            edits = [
                Edit(qr_id, _way_out(status, to, archive), reason=reason, of_deleted=True) for qr_id, status in found
            ]
            outcomes, published = await self._changes.change_within(connection, _author(caller), edits, MOVED)
            for outcome in outcomes:
                if isinstance(outcome, Problem):
                    raise outcome
            moved += len(found)
            routes += published
        return moved, routes

    async def publish(self, routes: Collection[Route]) -> None:
        await self._changes.publish(list(routes))


def _way_out(status: str, to: UUID | None, archive: bool) -> Change:
    """What is banned or deleted stays so."""
    if archive and status in (ACTIVE, PAUSED):
        return Change({"project_id": to, "status": ARCHIVED})
    return Change({"project_id": to})


def _author(caller: Member) -> Author:
    return Author(caller.workspace_id, caller.user_id, caller.actor)

"""What the platform admin may do with the codes of every workspace: look for them, ban them, lift a ban.

A banned code answers scans with a page and nothing else. Its owner sees why, and cannot lift it. A deleted code is
banned too: it could be restored. A ban that is lifted gives the code the state it had before.
"""

from uuid import UUID

from control_api.qr_codes.change_code import CodeChanges
from control_api.qr_codes.model import ACTIVE, BANNED, DELETED, Author, Change, Edit, QrCode
from control_api.qr_codes.repository import QrCodeRepository
from control_api.web.paging import Cursor, Page, PageRequest, page_from
from control_api.web.problem import Problem, not_found
from scanhop.stores.postgres import Connection, Postgres
from scanhop.wire.route import Route


class CodeBans:
    """Raises Problem, StoreUnavailable."""

    def __init__(self, postgres: Postgres, repository: QrCodeRepository, changes: CodeChanges) -> None:
        self._postgres = postgres
        self._repository = repository
        self._changes = changes

    async def search(
        self,
        page: PageRequest,
        *,
        workspace_id: UUID | None,
        status: str | None,
        short_code: str | None,
        target: str | None,
    ) -> Page[QrCode]:
        """Of every workspace. `target` stands in the target, the fallback or a rule."""
        filters = {"workspace_id": workspace_id, "status": status, "short_code": short_code, "target": target}
        async with self._postgres.connection() as connection:
            found = await self._repository.search_all(connection, page, **filters)  # type: ignore[arg-type]
        return page_from(found, page, lambda code: Cursor(code.created_at, code.id))

    async def ban(self, actor: str, qr_id: UUID, reason: str, note: str | None) -> QrCode:
        """`reason`: abuse or legal. `actor`: the platform admin, as the history is to name them."""
        fields = {"status": BANNED, "ban_reason": reason, "ban_note": note}
        async with self._postgres.transaction() as connection:
            author = await self._author(connection, actor, qr_id)
            edit = Edit(qr_id, Change(fields), reason=note, of_deleted=True)
            code, routes = await self._apply(connection, author, edit, "qr_code.banned")
        await self._changes.publish(routes)
        return code

    async def unban(self, actor: str, qr_id: UUID) -> QrCode:
        """A code that is not banned stays as it is."""
        async with self._postgres.transaction() as connection:
            author = await self._author(connection, actor, qr_id)
            code = (await self._repository.lock(connection, author.workspace_id, [qr_id]))[qr_id]
            if code.status != BANNED:
                if code.status == DELETED:
                    raise not_found("QR code")
                return code
            status = await self._repository.find_status_before_ban(connection, code) or ACTIVE
            edit = Edit(qr_id, Change({"status": status, "ban_reason": None, "ban_note": None}))
            code, routes = await self._apply(connection, author, edit, "qr_code.unbanned")
        await self._changes.publish(routes)
        return code

    async def _author(self, connection: Connection, actor: str, qr_id: UUID) -> Author:
        workspace_id = await self._repository.find_workspace_of(connection, qr_id)
        if workspace_id is None:
            raise not_found("QR code")
        return Author(workspace_id, None, actor, is_platform=True)

    async def _apply(
        self, connection: Connection, author: Author, edit: Edit, action: str
    ) -> tuple[QrCode, list[Route]]:
        [outcome], routes = await self._changes.change_within(connection, author, [edit], action)
        if isinstance(outcome, Problem):
            raise outcome
        return outcome, routes

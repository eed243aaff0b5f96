"""The history of a code, and the way back.

A rollback is a new version that says what an older one said: its fields but status, project and password, of which no
older one is kept. It is checked as any change is: a host that was blocked since is refused.
"""

from uuid import UUID

from control_api.qr_codes.change_code import CodeChanges
from control_api.qr_codes.model import Author, Edit, QrCode, Version
from control_api.qr_codes.repository import QrCodeRepository
from control_api.qr_codes.stored_fields import rollback_to
from control_api.web.paging import Page, SortedPageRequest
from control_api.web.problem import invalid_parameter, not_found
from scanhop.stores.postgres import Postgres
from scanhop.wire.ids import ZERO_UUID, WorkspaceId


class CodeHistory:
    """Raises Problem, StoreUnavailable."""

    def __init__(self, postgres: Postgres, repository: QrCodeRepository, changes: CodeChanges) -> None:
        self._postgres = postgres
        self._repository = repository
        self._changes = changes

    async def list_versions(self, workspace_id: WorkspaceId, qr_id: UUID, page: SortedPageRequest) -> Page[Version]:
        """Newest first, of a deleted code too."""
        before = None if page.after is None else page.after.key
        async with self._postgres.connection() as connection:
            found = await self._repository.list_versions(connection, workspace_id, qr_id, before, page.limit + 1)
            if not found and not await self._repository.exists(connection, workspace_id, qr_id):
                raise not_found("QR code")
        return page.page_from([(each, each.version) for each in found], lambda _: ZERO_UUID)

    async def roll_back(
        self, author: Author, qr_id: UUID, version: int, if_match: str | None, reason: str | None
    ) -> QrCode:
        """The code as it is when nothing would differ."""
        async with self._postgres.connection() as connection:
            snapshot = await self._repository.find_snapshot(connection, author.workspace_id, qr_id, version)
            if snapshot is None:
                if await self._repository.find(connection, author.workspace_id, qr_id) is None:
                    raise not_found("QR code")
                raise invalid_parameter("version", "is no version of the code")
        edit = Edit(qr_id, rollback_to(snapshot), if_match, reason or f"rolled back to version {version}")
        return await self._changes.change(author, edit, "qr_code.rolled_back")

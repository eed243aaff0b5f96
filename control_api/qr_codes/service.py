"""What can be asked of QR codes. How they come to be and change: `create_code`, `change_code` and what uses them.

Each call is one connection. Raises Problem, StoreUnavailable.
"""

from uuid import UUID

from control_api.qr_codes.model import QrCode, Search
from control_api.qr_codes.repository import QrCodeRepository
from control_api.web.paging import Page, SortedPageRequest
from control_api.web.problem import not_found
from scanhop.stores.postgres import Postgres
from scanhop.wire.ids import ZERO_UUID, WorkspaceId


class QrCodes:
    """The codes of a workspace, as readers see them."""

    def __init__(self, postgres: Postgres, repository: QrCodeRepository) -> None:
        self._postgres = postgres
        self._repository = repository

    async def get(self, workspace_id: WorkspaceId, qr_id: UUID) -> QrCode:
        async with self._postgres.connection() as connection:
            code = await self._repository.find(connection, workspace_id, qr_id)
        if code is None:
            raise not_found("QR code")
        return code

    async def search(self, workspace_id: WorkspaceId, search: Search, page: SortedPageRequest) -> Page[QrCode]:
        async with self._postgres.connection() as connection:
            found = await self._repository.search(connection, workspace_id, search, page)
        return page.page_from(found, lambda code: code.id)

    async def list_tags(self, workspace_id: WorkspaceId, page: SortedPageRequest) -> Page[tuple[str, int]]:
        """With the number of codes that have each."""
        after = None if page.after is None else str(page.after.key)
        async with self._postgres.connection() as connection:
            found = await self._repository.list_tags(connection, workspace_id, after, page.limit + 1)
        return page.page_from([(tag, tag[0]) for tag in found], lambda _: ZERO_UUID)

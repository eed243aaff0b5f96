"""Codes in Postgres, as far as their images are concerned."""

from uuid import UUID

from control_api.images.model import PrintedCode
from scanhop.stores.postgres import Connection
from scanhop.stores.sql import load_queries
from scanhop.wire.ids import WorkspaceId


class PrintedCodeRepository:
    """Reads its statement once."""

    def __init__(self) -> None:
        self._sql = load_queries("control_api.images")

    async def find(self, connection: Connection, workspace_id: WorkspaceId, qr_id: UUID) -> PrintedCode | None:
        row = await connection.fetchrow(self._sql["find_printed_code"], workspace_id, qr_id)
        return None if row is None else PrintedCode(**row)

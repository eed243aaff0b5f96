"""QR codes and their history in Postgres. Each method runs in the transaction of the connection it is given."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from control_api.qr_codes.model import NewQrCode, QrCode
from control_api.web.paging import PageRequest
from scanhop.stores.postgres import Connection
from scanhop.stores.sql import load_queries
from scanhop.wire.ids import DomainId, UserId, WorkspaceId


class QrCodeRepository:
    """Reads its statements once. Every statement names the workspace."""

    def __init__(self) -> None:
        self._sql = load_queries("control_api.qr_codes")

    async def create(  # noqa: PLR0913 - the columns
        self,
        connection: Connection,
        workspace_id: WorkspaceId,
        user_id: UserId,
        qr_id: UUID,
        domain_id: DomainId,
        short_code: str,
        new: NewQrCode,
        password_hash: str | None,
        now: datetime,
    ) -> QrCode | None:
        """None when the short code is taken."""
        row = await connection.fetchrow(
            self._sql["create_qr_code"],
            workspace_id,
            qr_id,
            user_id,
            domain_id,
            short_code,
            new.type,
            now,
            password_hash,
            *_editable_columns(new),
        )
        return _find(row)

    async def list(
        self, connection: Connection, workspace_id: WorkspaceId, statuses: Sequence[str], page: PageRequest
    ) -> list[QrCode]:
        """One more than the page holds, where there are more."""
        after = (page.after.created_at, page.after.id) if page.after else (None, None)
        rows = await connection.fetch(
            self._sql["list_qr_codes"], workspace_id, list(statuses), *after, page.limit + 1
        )
        return [QrCode(**row) for row in rows]

    async def find(self, connection: Connection, workspace_id: WorkspaceId, qr_id: UUID) -> QrCode | None:
        return _find(await connection.fetchrow(self._sql["find_qr_code"], workspace_id, qr_id))

    async def lock(self, connection: Connection, workspace_id: WorkspaceId, qr_id: UUID) -> QrCode | None:
        return _find(await connection.fetchrow(self._sql["lock_qr_code"], workspace_id, qr_id))

    async def update(
        self,
        connection: Connection,
        wanted: QrCode,
        now: datetime,
        *,
        sets_password: bool,
        password_hash: str | None,
    ) -> QrCode:
        """The next version, which says what `wanted` says. Lock the code first."""
        [row] = await connection.fetch(
            self._sql["update_qr_code"],
            wanted.workspace_id,
            wanted.id,
            now,
            wanted.status,
            sets_password,
            password_hash,
            *_editable_columns(wanted),
        )
        return QrCode(**row)

    async def delete(self, connection: Connection, code: QrCode, now: datetime) -> None:
        await connection.execute(self._sql["delete_qr_code"], code.workspace_id, code.id, now)

    async def record_version(
        self,
        connection: Connection,
        code: QrCode,
        now: datetime,
        changed_by: str,
        reason: str | None = None,
    ) -> None:
        await connection.execute(self._sql["record_version"], code.workspace_id, code.id, now, changed_by, reason)


def _editable_columns(code: NewQrCode | QrCode) -> tuple[Any, ...]:
    """In the order in which both writing statements take them."""
    return (
        code.name,
        code.target_url,
        code.fallback_url,
        code.redirect_status,
        code.forward_query,
        code.rules,
        code.starts_at,
        code.expires_at,
        code.max_scans,
        code.tags,
    )


def _find(row: asyncpg.Record | None) -> QrCode | None:
    return None if row is None else QrCode(**row)

"""What is read of a workspace's credits, and its own settings. Each method runs on the connection it is given."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any
from uuid import UUID

import asyncpg

from control_api.credits.model import Entry, EntryKind, HistoryFilter, Lot, Statement, Wallet
from scanhop.stores.postgres import Connection
from scanhop.stores.sql import load_queries
from scanhop.wire.ids import WorkspaceId


class CreditRepository:
    """Reads its statements once. Every statement names the workspace."""

    def __init__(self) -> None:
        self._sql = load_queries("control_api.credits")

    async def find_statement(self, connection: Connection, workspace_id: UUID, lots: int) -> Statement | None:
        """With at most so many lots."""
        rows = await connection.fetch(self._sql["find_wallet"], workspace_id, lots)
        if not rows:
            return None
        balance, reserved, monthly_grant, thresholds, is_due, *_ = rows[0]
        wallet = Wallet(WorkspaceId(workspace_id), balance, reserved, monthly_grant, thresholds)
        return Statement(wallet, [Lot(*list(row)[5:]) for row in rows if row["seq"] is not None], is_due)

    async def list_entries(
        self, connection: Connection, workspace_id: UUID, asked: HistoryFilter, before: int | None, limit: int
    ) -> list[Entry]:
        said = (asked.kind, asked.reference, asked.start, asked.end, before, limit)
        return [_entry(row) for row in await connection.fetch(self._sql["list_entries"], workspace_id, *said)]

    async def find_entry(self, connection: Connection, workspace_id: UUID, entry_id: UUID) -> Entry | None:
        row = await connection.fetchrow(self._sql["find_entry"], workspace_id, entry_id)
        return None if row is None else _entry(row)

    async def list_sums_by_day(
        self, connection: Connection, workspace_id: UUID, start: datetime, end: datetime
    ) -> Sequence[Any]:
        """(day, kind, action, amount)."""
        return await connection.fetch(self._sql["list_sums_by_day"], workspace_id, start, end)

    async def list_billing_usage(
        self, connection: Connection, workspace_id: UUID, first: date, end: date
    ) -> Sequence[Any]:
        """(date, scans_used, qr_created)."""
        return await connection.fetch(self._sql["list_billing_usage"], workspace_id, first, end)

    async def set_thresholds(self, connection: Connection, workspace_id: UUID, thresholds: Sequence[int]) -> None:
        await connection.execute(self._sql["set_thresholds"], workspace_id, list(thresholds))

    async def set_monthly_grant(self, connection: Connection, workspace_id: UUID, amount: int | None) -> None:
        await connection.execute(self._sql["set_monthly_grant"], workspace_id, amount)


def _entry(row: asyncpg.Record) -> Entry:
    fields = dict(row)
    return Entry(**fields | {"kind": EntryKind(fields["kind"])})

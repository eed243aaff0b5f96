"""Scans in ClickHouse. Every statement names the workspace and is bounded in time and memory."""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

from control_api.analytics.model import Period
from control_api.analytics.period import unix_ms
from control_api.analytics.scan_store import BOUNDS, scan_errors
from scanhop.stores.clickhouse import ClickHouse
from scanhop.stores.sql import load_queries
from scanhop.wire.ids import WorkspaceId

MAX_SHARES = 300

Counts = tuple[int, int]


class ScanRepository:
    """Reads its statements once. Raises StoreUnavailable."""

    def __init__(self, clickhouse: ClickHouse) -> None:
        self._clickhouse = clickhouse
        self._sql = load_queries("control_api.analytics")

    async def count_by_hour(
        self, workspace_id: WorkspaceId, qr_id: UUID, period: Period, phase_s: int, *, include_bots: bool
    ) -> tuple[Counts, dict[datetime, Counts]]:
        """(scans, visitors) in all, and by the start of each hour in which there were any."""
        parameters = _parameters(workspace_id, qr_id, period, include_bots) | {"phase_s": phase_s}
        rows = await self._list("list_hours", parameters)
        return _total(rows), {
            datetime.fromtimestamp(bucket, UTC): (scans, visitors)
            for is_total, bucket, scans, visitors in rows
            if not is_total
        }

    async def count_by_date(
        self, workspace_id: WorkspaceId, qr_id: UUID, period: Period, *, include_bots: bool
    ) -> tuple[Counts, dict[date, Counts]]:
        """(scans, visitors) in all, and by the first date of each bucket in which there were any."""
        parameters = _parameters(workspace_id, qr_id, period, include_bots) | {
            "granularity": period.granularity,
            "timezone": period.zone.key,
        }
        rows = await self._list("list_dates", parameters)
        return _total(rows), {bucket: (scans, visitors) for is_total, bucket, scans, visitors in rows if not is_total}

    async def list_shares(
        self, workspace_id: WorkspaceId, qr_id: UUID, period: Period, *, include_bots: bool
    ) -> Sequence[tuple[str, str, int]]:
        """(dimension, value, scans), the largest first."""
        parameters = _parameters(workspace_id, qr_id, period, include_bots) | {"limit": MAX_SHARES}
        return await self._list("list_shares", parameters)

    async def _list(self, name: str, parameters: dict[str, Any]) -> Sequence[Any]:
        client = await self._clickhouse.client()
        with scan_errors():
            answer = await client.query(self._sql[name], parameters=parameters, settings=dict(BOUNDS))
        return answer.result_rows


def _parameters(workspace_id: WorkspaceId, qr_id: UUID, period: Period, include_bots: bool) -> dict[str, Any]:
    return {
        "workspace_id": str(workspace_id),
        "qr_id": str(qr_id),
        "start_ms": unix_ms(period.start),
        "end_ms": unix_ms(period.end),
        "include_bots": int(include_bots),
    }


def _total(rows: Sequence[Any]) -> Counts:
    return next(((scans, visitors) for is_total, _, scans, visitors in rows if is_total), (0, 0))

"""Figures of the whole platform, for its admin: from Postgres and the daily rollup, never from raw scans."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

import orjson

from control_api.analytics.scan_store import ScanStore
from control_api.clock import Clock
from scanhop.stores.postgres import Postgres
from scanhop.stores.sql import load_queries

TOP_WORKSPACES = 10
_NEVER = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class ScanPeriods:
    """Counted scans of UTC days."""

    today: int
    last_7_days: int
    last_30_days: int


@dataclass(frozen=True)
class BusyWorkspace:
    workspace_id: UUID
    name: str | None
    scans: ScanPeriods


@dataclass(frozen=True)
class PlatformOverview:
    users: int
    workspaces: int
    qr_codes: Mapping[str, int]
    scans: ScanPeriods
    top_workspaces: Sequence[BusyWorkspace]
    newest_batch_at: datetime | None


class Platform:
    """Raises StoreUnavailable."""

    def __init__(self, postgres: Postgres, store: ScanStore, clock: Clock) -> None:
        self._postgres = postgres
        self._store = store
        self._clock = clock
        self._sql = load_queries("control_api.analytics", "platform.sql")

    async def overview(self) -> PlatformOverview:
        today = {"today": self._clock().date().isoformat(), "limit": TOP_WORKSPACES}
        rows, newest = await asyncio.gather(
            self._store.list_by_name("sum_platform_scans", today), self._store.list_by_name("find_newest_batch", {})
        )
        async with self._postgres.connection() as connection:
            counts = await connection.fetchrow(self._sql["count_platform"])
            named = await connection.fetch(self._sql["name_workspaces"], [row[0] for row in rows])
        names = {row["id"]: row["name"] for row in named}
        at = newest[0][0].replace(tzinfo=UTC)
        codes = counts["codes"] if counts is not None else {}
        return PlatformOverview(
            users=counts["users"] if counts is not None else 0,
            workspaces=counts["workspaces"] if counts is not None else 0,
            qr_codes=orjson.loads(codes) if isinstance(codes, str) else codes,
            scans=ScanPeriods(*rows[0][4:7]) if rows else ScanPeriods(0, 0, 0),
            top_workspaces=[BusyWorkspace(row[0], names.get(row[0]), ScanPeriods(*row[1:4])) for row in rows],
            newest_batch_at=None if at == _NEVER else at,
        )

"""The scans of a day, after the fact: counted from raw, set and never added, charged once when the day has closed.

A day is open for OPEN_DAYS, today among them, and counted anew by every run. One that has closed since the last run
is counted a last time and charged, at the price with which it began: min(available, price), the rest is its
shortfall, under the key `scans:<workspace>:<date>`. However long the worker was away, each day in between is counted
and charged. Redirects know nothing of all this.
"""

from collections.abc import Sequence
from datetime import UTC, date, timedelta
from uuid import UUID

from control_api.clock import Clock
from control_api.credits.ledger import Ledger
from control_api.credits.model import SCAN_COUNTED, EntryKind, Facts
from control_api.credits.platform_repository import PlatformRepository
from scanhop.stores.clickhouse import ClickHouse, clickhouse_errors
from scanhop.stores.postgres import Postgres
from scanhop.stores.sql import load_queries

OPEN_DAYS = 3
BATCH = 1000
DAY = timedelta(days=1)
BOUNDS = {"max_execution_time": 60, "max_memory_usage": 1 << 30}

DayCount = tuple[UUID, date, int]


class ScanBilling:
    """Raises StoreError; a run that broke off is made up for by the next."""

    def __init__(
        self,
        postgres: Postgres,
        clickhouse: ClickHouse,
        platform: PlatformRepository,
        ledger: Ledger,
        clock: Clock,
    ) -> None:
        self._postgres = postgres
        self._clickhouse = clickhouse
        self._platform = platform
        self._ledger = ledger
        self._clock = clock
        self._sql = load_queries("control_api.credits", "clickhouse.sql")

    async def run(self) -> dict[str, int]:
        """What was counted and charged."""
        today = self._clock().astimezone(UTC).date()
        first_open = today - DAY * (OPEN_DAYS - 1)
        async with self._postgres.connection() as connection:
            counted_to = await self._platform.get_usage_counted_to(connection)
        first = min(counted_to or first_open, first_open)
        counted = await self._count(first, today + DAY)
        await self._set(first, today + DAY, counted)
        days, charged = await self._charge_closed(first_open)
        async with self._postgres.connection() as connection:
            await self._platform.set_usage_counted_to(connection, first_open)
        return {"scans": sum(scans for _, _, scans in counted), "days_charged": days, "credits": charged}

    async def _count(self, first: date, end: date) -> Sequence[DayCount]:
        client = await self._clickhouse.client()
        with clickhouse_errors():
            parameters = {"first": first, "end": end}
            answer = await client.query(self._sql["count_scans"], parameters=parameters, settings=BOUNDS)
        return [(workspace_id, day, scans) for workspace_id, day, scans in answer.result_rows]

    async def _set(self, first: date, end: date, counted: Sequence[DayCount]) -> None:
        now = self._clock()
        async with self._postgres.transaction() as connection:
            await self._platform.reset_usage(connection, first, end, now)
            for start in range(0, len(counted), BATCH):
                await self._platform.set_scans_used(connection, counted[start : start + BATCH], now)
            await self._platform.set_qr_created(connection, first, end, now)

    async def _charge_closed(self, first_open: date) -> tuple[int, int]:
        days = taken = 0
        while True:
            async with self._postgres.connection() as connection:
                closed = await self._platform.list_closed_days(connection, first_open, BATCH)
            if not closed:
                return days, taken
            for workspace_id, day in closed:
                taken += await self._charge(workspace_id, day)
            days += len(closed)

    async def _charge(self, workspace_id: UUID, day: date) -> int:
        """What was taken. The day is closed in the transaction of its charge."""
        async with self._postgres.joined_transaction(), self._postgres.connection() as connection:
            closed = await self._platform.lock_closed_day(connection, workspace_id, day, SCAN_COUNTED)
            if closed is None:
                return 0
            scans, version, price = closed
            wanted, charged = scans * (price or 0), 0
            if wanted:
                key = f"scans:{workspace_id}:{day}"
                facts = Facts("system", str(day), key, SCAN_COUNTED, scans, version)
                result = await self._ledger.debit(workspace_id, EntryKind.USAGE, wanted, facts, partly=True)
                charged = result.charged
            became = wanted, version, charged, wanted - charged, self._clock()
            await self._platform.close_day(connection, workspace_id, day, *became)
        return charged

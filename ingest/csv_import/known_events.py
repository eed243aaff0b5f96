"""What ClickHouse has already of the scans of a file."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from ingest.csv_import.identity import batch_id
from ingest.csv_import.row_store import StoredScan
from scanhop.stores.clickhouse import ClickHouse, clickhouse_errors
from scanhop.stores.sql import load_queries

IDS_AT_ONCE = 5_000
BOUNDS = {"max_execution_time": 120, "max_memory_usage": 1 << 30}


class KnownEvents:
    """Raises StoreError."""

    def __init__(self, clickhouse: ClickHouse) -> None:
        self._clickhouse = clickhouse
        self._sql = load_queries("ingest.csv_import")

    async def find(self, scans: Sequence[StoredScan]) -> set[bytes]:
        """The event ids that are there, of scans in order of time."""
        found: set[bytes] = set()
        for start in range(0, len(scans), IDS_AT_ONCE):
            some = scans[start : start + IDS_AT_ONCE]
            keys = {(str(UUID(bytes=scan.code.workspace_id)), str(UUID(bytes=scan.code.qr_id))) for scan in some}
            parameters = {
                "keys": sorted(keys),
                "first_ms": some[0].scanned_at_ms,
                "last_ms": some[-1].scanned_at_ms,
                "event_ids": [str(UUID(bytes=scan.event_id)) for scan in some],
            }
            found |= {row[0].bytes for row in await self._list("list_known_events", parameters)}
        return found

    async def new_batch_id(self, scans: Sequence[StoredScan]) -> UUID:
        """Of rows that are not in ClickHouse. Rows that were deleted need another token than they had."""
        event_ids = b"".join(scan.event_id for scan in scans)
        generation = 0
        while True:
            found = batch_id(event_ids, generation)
            [(accounts,)] = await self._list("count_accounts", {"batch_id": str(found)})
            if not accounts:
                return found
            generation += 1

    async def _list(self, name: str, parameters: Mapping[str, Any]) -> Sequence[Any]:
        client = await self._clickhouse.client()
        with clickhouse_errors():
            answer = await client.query(self._sql[name], parameters=dict(parameters), settings=BOUNDS)
        return answer.result_rows

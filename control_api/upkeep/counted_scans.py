"""Counted scans of codes, as ClickHouse has them. Raises StoreError within TIMEOUT_S."""

from collections.abc import Sequence
from uuid import UUID

from scanhop.stores.clickhouse import ClickHouse, clickhouse_errors
from scanhop.stores.scan_counters import LimitedCode
from scanhop.stores.sql import load_queries

TIMEOUT_S = 5
BOUNDS = {"max_execution_time": TIMEOUT_S, "max_memory_usage": 1 << 28}


class CountedScans:
    def __init__(self, clickhouse: ClickHouse) -> None:
        self._clickhouse = clickhouse
        self._sql = load_queries("control_api.upkeep", "clickhouse.sql")

    async def count(self, codes: Sequence[LimitedCode]) -> dict[bytes, int]:
        """By code; one without scans is left out."""
        parameters = {
            "workspace_ids": sorted({str(UUID(bytes=code.workspace_id)) for code in codes}),
            "qr_ids": [str(UUID(bytes=code.qr_id)) for code in codes],
        }
        client = await self._clickhouse.client()
        with clickhouse_errors():
            answer = await client.query(self._sql["count_scans"], parameters=parameters, settings=BOUNDS)
        return {qr_id.bytes: scans for qr_id, scans in answer.result_rows}

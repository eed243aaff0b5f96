"""The statements of this package, each bounded in time and memory: what does not fit into memory goes to disk."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from scanhop.stores.clickhouse import ClickHouse, clickhouse_errors
from scanhop.stores.sql import load_queries

TIMEOUT_S = 330
BOUNDS = {
    "max_execution_time": 300,
    "max_memory_usage": 2 << 30,
    "max_bytes_before_external_group_by": 512 << 20,
    "max_bytes_before_external_sort": 512 << 20,
}
# The answer comes when the insert has ended, not before it.
INSERT = {
    "async_insert": 0,
    "insert_deduplicate": 1,
    "wait_end_of_query": 1,
    "send_progress_in_http_headers": 0,
}


class Statements:
    """Raises StoreUnavailable or StoreRejected."""

    def __init__(self, clickhouse: ClickHouse) -> None:
        self._clickhouse = clickhouse
        self._sql = load_queries("scanhop.rollups")

    async def list(self, name: str, parameters: Mapping[str, Any]) -> Sequence[Any]:
        client = await self._clickhouse.client()
        with clickhouse_errors():
            answer = await client.query(self._sql[name], parameters=dict(parameters), settings=dict(BOUNDS))
        return answer.result_rows

    async def insert(self, table: str, rows: Sequence[Mapping[str, object]], token: str) -> None:
        """As one block; a second time under the same token it changes nothing."""
        client = await self._clickhouse.client()
        with clickhouse_errors():
            await client.raw_insert(
                table,
                column_names=list(rows[0]),
                insert_block=b"\n".join(orjson.dumps(row) for row in rows),
                settings=INSERT | {"insert_deduplication_token": token},
                fmt="JSONEachRow",
            )

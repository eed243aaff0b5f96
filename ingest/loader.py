"""Sends a frozen batch to ClickHouse, then its line in `scan_batches`.

Both carry a token of the batch's, so that sending either again changes nothing.
"""

import orjson

from ingest.frozen_batch import BatchHeader
from scanhop.stores.clickhouse import ClickHouse, clickhouse_errors

BATCHES = "scan_batches"
_NS_PER_MS = 1_000_000


class Loader:
    """Raises StoreUnavailable (send the same again) or StoreRejected (park it)."""

    def __init__(self, clickhouse: ClickHouse) -> None:
        self._clickhouse = clickhouse

    async def load(self, header: BatchHeader, body: bytes) -> None:
        client = await self._clickhouse.client()
        with clickhouse_errors():
            await client.raw_insert(
                header.table,
                column_names=header.columns,
                insert_block=body,
                settings={**header.settings, "insert_deduplication_token": header.token},
                fmt="Native",
            )
            await client.raw_insert(
                BATCHES,
                column_names=list(_account(header)),
                insert_block=orjson.dumps(_account(header)),
                settings={"async_insert": 0, "insert_deduplication_token": header.token},
                fmt="JSONEachRow",
            )


def _account(header: BatchHeader) -> dict[str, object]:
    return {
        "batch_id": str(header.batch_id),
        "spool_id": str(header.spool_id),
        "segment": header.segment,
        "rows": header.rows,
        "scans": header.scans,
        "damaged": header.damaged,
        "first_scan_at": header.first_scan_at_ns // _NS_PER_MS / 1000,
        "last_scan_at": header.last_scan_at_ns // _NS_PER_MS / 1000,
        "frozen_at": header.frozen_at_ns // _NS_PER_MS / 1000,
    }

"""Sends a frozen batch to ClickHouse, then its line in `scan_batches`.

Both carry a token of the batch's, so that sending either again changes nothing.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import orjson

from ingest.frozen_batch import BatchHeader
from scanhop.stores.clickhouse import ClickHouse, clickhouse_errors
from scanhop.stores.errors import StoreRejected, StoreUnavailable

BATCHES = "scan_batches"
_NS_PER_MS = 1_000_000

# ClickHouse's codes for a body it cannot read, or values that do not fit their columns: cannot parse, cannot read
# all data, type mismatch, out of bounds, cannot convert, incorrect data, too large string, null, constraint.
_BLAMES_THE_DATA = frozenset([6, 25, 26, 27, 32, 33, 38, 41, 53, 69, 70, 72, 117, 131, 349, 469, 472])


class Loader:
    """Raises StoreUnavailable (send the same again) or StoreRejected (park it)."""

    def __init__(self, clickhouse: ClickHouse) -> None:
        self._clickhouse = clickhouse

    async def load(self, header: BatchHeader, body: bytes) -> None:
        with _only_data_is_refused():
            await self._send(header, body)

    async def _send(self, header: BatchHeader, body: bytes) -> None:
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


@contextmanager
def _only_data_is_refused() -> Iterator[None]:
    """Whatever else ClickHouse refuses (no such table, no such database, a wrong password) an operator can mend."""
    try:
        yield
    except StoreRejected as error:
        if error.code in _BLAMES_THE_DATA:
            raise
        raise StoreUnavailable(str(error)) from error


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

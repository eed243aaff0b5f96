"""Sends a frozen batch to ClickHouse, then its line in `scan_batches`.

Both carry a token of the batch's, so that sending either again changes nothing. Each `load` is one try: the client
below sends nothing again by itself, and a status is believed only once the insert has ended.

ClickHouse remembers a bounded number of tokens. A batch of which it has rows, and since which so many others were
accepted that its token may be forgotten, is refused here: it would double.
"""

import io
import time

import orjson

from ingest.frozen_batch import BatchHeader
from ingest.insert_failures import FailureReason, InsertFailed, insert_errors
from scanhop.stores.clickhouse import ClickHouse
from scanhop.stores.errors import StoreRejected

BATCHES = "scan_batches"
_NS_PER_MS, _NS_PER_S = 1_000_000, 1_000_000_000

# Half of what the tables remember (`non_replicated_deduplication_window`): batches are not accepted in the order in
# which they were frozen.
REMEMBERED_BATCHES = 50_000
YOUNG_S = 3600.0  # no such number is accepted within it

_ACCEPTED_SINCE = """
SELECT (SELECT count() FROM qr_scan_events WHERE batch_id = {batch:UUID}),
       (SELECT count() FROM scan_batches WHERE frozen_at > fromUnixTimestamp64Nano({frozen:Int64}))"""

# Without these ClickHouse may answer 200 before it has begun to write.
_ANSWER_AT_THE_END = {"wait_end_of_query": 1, "send_progress_in_http_headers": 0}


class Loader:
    """Raises InsertFailed (send the same again) or StoreRejected (ClickHouse blames the batch's data)."""

    def __init__(self, clickhouse: ClickHouse) -> None:
        self._clickhouse = clickhouse

    async def load(self, header: BatchHeader, body: bytes) -> None:
        if time.time_ns() - header.frozen_at_ns > YOUNG_S * _NS_PER_S:
            await self._check_old(header)
        await self._insert(header.table, header.columns, "Native", body, header.settings, header.token)
        account = _account(header)
        try:
            await self._insert(
                BATCHES, list(account), "JSONEachRow", orjson.dumps(account), {"async_insert": 0}, header.token
            )
        except StoreRejected as error:  # its rows are in: this is no reason to park it
            raise InsertFailed(str(error), FailureReason.MISCONFIGURED) from error

    async def _check_old(self, header: BatchHeader) -> None:
        parameters = {"batch": header.token, "frozen": header.frozen_at_ns}
        with insert_errors():
            client = await self._clickhouse.client()
            ((rows, accepted),) = (await client.query(_ACCEPTED_SINCE, parameters=parameters)).result_rows
        if rows and accepted >= REMEMBERED_BATCHES:
            raise StoreRejected(f"{rows} of its {header.rows} rows are in, and its token may be forgotten by now")

    async def _insert(  # noqa: PLR0913 - the parts of the statement
        self, table: str, columns: list[str], fmt: str, body: bytes, settings: dict[str, int], token: str
    ) -> None:
        with insert_errors():
            client = await self._clickhouse.client()
            await client.raw_insert(
                table,
                column_names=columns,
                insert_block=io.BytesIO(body),  # a file is not sent twice behind our back
                settings={**settings, **_ANSWER_AT_THE_END, "insert_deduplication_token": token},
                fmt=fmt,
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

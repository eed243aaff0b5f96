"""Counts of scans of limited codes: what Redis counts goes to Postgres, what Redis lost comes back.

A limited code is one with a limit, or with a rule on the number of its scans. Its counter stands at the largest of
what Redis counts, what Postgres has of it, and what ClickHouse knows: scans that were answered while Redis was away,
or before the code was limited. Without ClickHouse the other two decide, and the next round mends it.
"""

from collections.abc import Sequence

from control_api.upkeep.counted_scans import CountedScans
from scanhop.stores.errors import StoreError
from scanhop.stores.scan_counters import LimitedCode, ScanCounters, ScanCountTable
from scanhop.telemetry.logs import get_logger

PERSIST_BATCH = 1000
RAISE_BATCH = 200

_log = get_logger()


class ScanCounts:
    """`counted` None: there is no ClickHouse. Every method may be repeated, also by another worker at once."""

    def __init__(self, counters: ScanCounters, table: ScanCountTable, counted: CountedScans | None) -> None:
        self._counters = counters
        self._table = table
        self._counted = counted

    async def persist(self) -> None:
        """Every counter that moved. Raises StoreError; what was not persisted is so the next time."""
        while moved := await self._counters.list_moved(PERSIST_BATCH):
            counts = [(qr_id, scans) for qr_id, scans in moved if scans is not None]
            if counts:
                await self._table.persist(counts)
            await self._counters.settle([qr_id for qr_id, _ in moved])
            if len(moved) < PERSIST_BATCH:
                return

    async def raise_all(self) -> None:
        """Every limited code's counter, where it is missing or too low. Raises StoreError."""
        after, raised, counted = bytes(16), 0, self._counted
        while codes := await self._table.list_limited(after, RAISE_BATCH):
            scans = await _count(counted, codes)
            counted = counted if scans is not None else None
            raised += await self._raise(codes, scans or {})
            after = codes[-1].qr_id
        if raised:
            _log.info("scan_counters_raised", counters=raised)

    async def raise_one(self, qr_id: bytes) -> None:
        """The counter of a code that may just have become a limited one. Raises StoreError."""
        code = await self._table.find_limited(qr_id)
        if code is not None:
            await self._raise([code], await _count(self._counted, [code]) or {})

    async def _raise(self, codes: Sequence[LimitedCode], counted: dict[bytes, int]) -> int:
        return await self._counters.raise_many(
            [(code.qr_id, max(code.scans, counted.get(code.qr_id, 0))) for code in codes]
        )


async def _count(counted: CountedScans | None, codes: Sequence[LimitedCode]) -> dict[bytes, int] | None:
    """None: ClickHouse cannot be asked."""
    if counted is None:
        return None
    try:
        return await counted.count(codes)
    except StoreError as error:
        _log.warning("scan_counters_without_clickhouse", codes=len(codes), error=str(error))
        return None

"""Counts of scans of limited codes: what Redis counts goes to Postgres, what Redis lost comes back.

A limited code is one with a limit, or with a rule on the number of its scans. Its counter stands at the largest of
what Redis counts, what Postgres has of it, and what ClickHouse knows: scans that were answered while Redis was away,
or before the code was limited. Without ClickHouse the other two decide; it is left alone for AWAY_S, and a later
round mends the counters.
"""

import time
from collections.abc import Sequence

from control_api.upkeep.counted_scans import CountedScans
from scanhop.stores.errors import StoreError
from scanhop.stores.scan_counters import LimitedCode, ScanCounters, ScanCountTable
from scanhop.telemetry.logs import get_logger

PERSIST_BATCH = 1000
RAISE_BATCH = 200
AWAY_S = 30.0

_log = get_logger()


class ScanCounts:
    """`counted` None: there is no ClickHouse. Every method may be repeated, also by another worker at once."""

    def __init__(self, counters: ScanCounters, table: ScanCountTable, counted: CountedScans | None) -> None:
        self._counters = counters
        self._table = table
        self._counted = counted
        self._ask_from = float("-inf")

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
        after, raised = bytes(16), 0
        while codes := await self._table.list_limited(after, RAISE_BATCH):
            raised += await self._raise(codes)
            after = codes[-1].qr_id
        if raised:
            _log.info("scan_counters_raised", counters=raised)

    async def raise_one(self, qr_id: bytes) -> None:
        """The counter of a code that may just have become a limited one. Raises StoreError."""
        code = await self._table.find_limited(qr_id)
        if code is not None:
            await self._raise([code])

    async def _raise(self, codes: Sequence[LimitedCode]) -> int:
        counted = await self._count(codes)
        return await self._counters.raise_many(
            [(code.qr_id, max(code.scans, counted.get(code.qr_id, 0))) for code in codes]
        )

    async def _count(self, codes: Sequence[LimitedCode]) -> dict[bytes, int]:
        """What ClickHouse says; nothing where it cannot be asked."""
        if self._counted is None or time.monotonic() < self._ask_from:
            return {}
        try:
            return await self._counted.count(codes)
        except StoreError as error:
            self._ask_from = time.monotonic() + AWAY_S
            _log.warning("scan_counters_without_clickhouse", error=str(error))
            return {}

"""The loop: claim directories, take their segments in order, freeze, load, acknowledge, clear up.

Several ingest processes may share one spool root: each works on the directories it has claimed.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from ingest.freezer import Freezer
from ingest.frozen_batch import DamagedBatch, read_batch
from ingest.loader import Loader
from ingest.visitors import Visitors, utc_day
from scanhop.spool import SegmentContent, SegmentName, SpoolId
from scanhop.spool.claim import Claim, claim_directories
from scanhop.spool.durable_file import sync_directory
from scanhop.spool.segment import ACKED, BATCH, PARKED, SEALED, UnreadableSegment, list_segments
from scanhop.stores.errors import StoreError, StoreRejected, StoreUnavailable
from scanhop.stores.salts import RETENTION
from scanhop.telemetry.logs import get_logger
from scanhop.wire.scan_record import BadRecord, decode_scan

POLL_S = 0.1
ACKED_GRACE_S = 60.0
DRAIN_S = 8.0
SALT_REFRESH_S = 300.0
WAIT_S = 5.0
LOAD_TRIES = 8
RETRY_PAUSES_S = (0.2, 0.5, 1.0, 2.0, 5.0)

_log = get_logger()


class Collector:
    """One ingest process's share of the spool."""

    def __init__(self, root: Path, freezer: Freezer, loader: Loader, visitors: Visitors) -> None:
        self._root = root
        self._freezer = freezer
        self._loader = loader
        self._visitors = visitors
        self._claims: dict[SpoolId, Claim] = {}
        self._waits_until: dict[SegmentName, float] = {}
        self._salts_read_at = float("-inf")
        self._days_without_salt: set[date] = set()
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        self._stopping.set()

    async def run(self) -> None:
        """Until `stop()`; then what is sealed by now is taken too, within DRAIN_S."""
        await self._refresh_salts()  # Postgres may be away when the first scan comes
        try:
            while not self._stopping.is_set():
                if not await self.collect():
                    await self._pause(POLL_S)
            await self._drain()
        finally:
            for claim in self._claims.values():
                claim.release()
            self._claims.clear()

    async def _drain(self) -> None:
        """Cut off at any point it leaves what a crash would leave."""
        self._stopping.clear()
        try:
            async with asyncio.timeout(DRAIN_S):
                while await self.collect():
                    pass
        except TimeoutError:
            _log.warning("drain_cut_off", after_s=DRAIN_S)

    async def collect(self) -> int:
        """One round over all claimed directories; the number of segments taken."""
        self._claim_more()
        taken = 0
        for claim in list(self._claims.values()):
            for name in claim.list_waiting():
                if self._stopping.is_set():
                    return taken
                taken += await self._take(name)
            self._clear_up(claim)
        return taken

    async def _take(self, name: SegmentName) -> bool:
        """What the disk, a store or this version cannot do with one segment holds up no other, and ends nothing."""
        if time.monotonic() < self._waits_until.get(name, 0.0):
            return False
        try:
            taken = await self._take_now(name)
        except (OSError, UnreadableSegment, StoreError) as error:
            self._waits_until[name] = time.monotonic() + WAIT_S
            _log.error("segment_waits", segment=str(name), error=str(error), seconds=WAIT_S)
            return False
        self._waits_until.pop(name, None)
        return taken

    async def _take_now(self, name: SegmentName) -> bool:
        if name.path(self._root, PARKED).exists():
            return False
        if name.path(self._root, ACKED).exists():  # a crash between the acknowledgement and the deletion
            name.path(self._root, SEALED).unlink()
            return True
        if not name.path(self._root, BATCH).exists() and not await self._freeze(name):
            return True
        return await self._load(name)

    async def _freeze(self, name: SegmentName) -> bool:
        """False: there was nothing to freeze, or not now."""
        content = self._freezer.read(name)
        if not await self._salts_for(content):
            return False
        if self._freezer.freeze(name, content):
            return True
        _log.error("segment_without_records", segment=str(name), damaged=len(content.damages))
        name.path(self._root, SEALED).unlink()
        return False

    async def _salts_for(self, content: SegmentContent) -> bool:
        """Read the salts when they are old, or when a day that should have one has none. False: asked to stop."""
        today = datetime.now(UTC).date()
        wanted = {day for day in _days(content) if day >= today - RETENTION and day <= today + timedelta(days=1)}
        have_all = all(self._visitors.has(day) for day in wanted - self._days_without_salt)
        if have_all and time.monotonic() - self._salts_read_at < SALT_REFRESH_S:
            return True
        if have_all:
            await self._refresh_salts()
            return True
        self._salts_read_at = time.monotonic()
        read = await self._retry(self._visitors.refresh, "salts_not_read")
        self._days_without_salt = {day for day in wanted if not self._visitors.has(day)} if read else set()
        return read

    async def _refresh_salts(self) -> None:
        """Without Postgres those at hand go on."""
        self._salts_read_at = time.monotonic()
        try:
            await self._visitors.refresh()
        except StoreError as error:
            _log.warning("salts_not_read", error=str(error))

    async def _load(self, name: SegmentName) -> bool:
        path = name.path(self._root, BATCH)
        try:
            header, body = read_batch(path)
        except DamagedBatch as error:
            self._park(name, str(error))
            return True
        started = time.monotonic()
        try:
            loaded = await self._retry(lambda: self._loader.load(header, body), "batch_not_loaded", LOAD_TRIES)
        except StoreRejected as error:
            self._park(name, str(error))
            return True
        if loaded:
            self._acknowledge(name)
            seconds = round(time.monotonic() - started, 3)
            _log.info("batch_loaded", batch=header.token, rows=header.rows, scans=header.scans, seconds=seconds)
        return loaded

    def _acknowledge(self, name: SegmentName) -> None:
        """The rename is the acknowledgement; it is durable before the segment goes."""
        acked = name.path(self._root, ACKED)
        name.path(self._root, BATCH).rename(acked)
        sync_directory(acked.parent)
        name.path(self._root, SEALED).unlink()

    def _park(self, name: SegmentName, reason: str) -> None:
        _log.error("batch_parked", segment=str(name), reason=reason)
        name.path(self._root, BATCH).rename(name.path(self._root, PARKED))

    async def _retry(self, call: Callable[[], Awaitable[None]], event: str, tries: int | None = None) -> bool:
        """Until it succeeds; False when asked to stop meanwhile. StoreRejected passes through.

        With `tries`, the last StoreUnavailable passes through too: the segment then waits, and others get their turn.
        """
        failures = 0
        while not self._stopping.is_set():
            try:
                await call()
            except StoreUnavailable as error:
                pause = RETRY_PAUSES_S[min(failures, len(RETRY_PAUSES_S) - 1)]
                failures += 1
                if failures == tries:
                    raise
                _log.warning(event, error=str(error), tries=failures)
                await self._pause(pause * random.uniform(0.75, 1.25))  # noqa: S311 - jitter
            else:
                return True
        return False

    def _claim_more(self) -> None:
        for claim in claim_directories(self._root, frozenset(self._claims)):
            self._claims[claim.spool_id] = claim

    def _clear_up(self, claim: Claim) -> None:
        overdue = time.time() - ACKED_GRACE_S
        for name in list_segments(self._root, claim.spool_id, ACKED):
            path = name.path(self._root, ACKED)
            is_settled = not name.path(self._root, SEALED).exists()
            if is_settled and path.stat().st_mtime < overdue:
                path.unlink()
        if claim.remove_if_finished():
            claim.release()
            del self._claims[claim.spool_id]

    async def _pause(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except TimeoutError:
            return


def _days(content: SegmentContent) -> set[date]:
    """The days of the first and the last record: time does not go back within a segment."""
    days = set()
    for _, payload in (*content.records[:1], *content.records[-1:]):
        try:
            days.add(utc_day(decode_scan(payload).scanned_at_ns))
        except (BadRecord, ValueError, OverflowError):
            continue
    return days

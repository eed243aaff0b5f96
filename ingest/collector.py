"""The loop: claim directories, take their segments in order, freeze, load, acknowledge, clear up.

Several ingest processes may share one spool root: each works on the directories it has claimed.

Nothing is waited for in place. A segment that cannot be taken now (ClickHouse fails on it, the disk refuses, another
version wrote it) is left alone for a while of its own and the others go on; when an insert fails, the store is left
alone too, for longer each time until one succeeds. No batch is given up for a failure that may pass; one whose data
ClickHouse refuses REFUSALS_TO_PARK times is parked.
"""

import asyncio
import os
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path

from msgspec import DecodeError

from ingest.backoff import Backoff
from ingest.dead_letters import PARKED_SEGMENT, REPLAY_BATCH, park, remove_old_notes, set_segment_aside
from ingest.figures import IngestFigures
from ingest.freezer import Freezer
from ingest.frozen_batch import BatchHeader, DamagedBatch, read_batch
from ingest.insert_failures import FailureReason, InsertFailed
from ingest.loader import Loader
from ingest.replay import Replayer
from ingest.visitors import Visitors, utc_day
from scanhop.spool import SegmentName, SpoolId
from scanhop.spool.claim import Claim, Refusals, claim_directories
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
STORE_CAP_S = 5.0
BATCH_CAP_S = 30.0
REFUSALS_TO_PARK = 3  # what is damaged on its way to ClickHouse is refused too, and arrives whole the next time

_log = get_logger()


class Collector:
    """One ingest process's share of the spool."""

    def __init__(
        self,
        root: Path,
        freezer: Freezer,
        loader: Loader,
        visitors: Visitors,
        new_backoff: Callable[[float], Backoff] = Backoff,
    ) -> None:
        self._root = root
        self.freezer = freezer
        self._loader = loader
        self._visitors = visitors
        self._claims: dict[SpoolId, Claim] = {}
        self._refusals_to_claim = Refusals()
        self._store = new_backoff(STORE_CAP_S)
        self._salts = new_backoff(STORE_CAP_S)
        self._clearing = new_backoff(BATCH_CAP_S)
        self._batches: defaultdict[Path, Backoff] = defaultdict(partial(new_backoff, BATCH_CAP_S))
        self._refusals: Counter[Path] = Counter()
        self._replayer = Replayer(root, freezer, self._send, self._read_salts_for)
        self._salts_read_at = float("-inf")
        self._days_without_salt: set[date] = set()
        self._stopping = asyncio.Event()
        self.figures = IngestFigures()

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
                if self._stopping.is_set() or self._store.is_waiting(time.monotonic()):
                    return taken
                taken += await self._take(name.path(self._root, BATCH), partial(self._take_segment, name))
            for name in self._replayer.list_waiting(claim.spool_id):
                if self._stopping.is_set() or self._store.is_waiting(time.monotonic()):
                    return taken
                taken += await self._take(name.path(self._root, REPLAY_BATCH), partial(self._replayer.take, name))
            self._clear_up(claim)
        return taken

    async def _take(self, batch: Path, take: Callable[[], Awaitable[bool]]) -> bool:
        """What the disk, a store or this version cannot do with one batch holds up no other, and ends nothing."""
        if batch in self._batches and self._batches[batch].is_waiting(time.monotonic()):
            return False
        try:
            return await self._try(batch, take)
        except (OSError, UnreadableSegment, StoreError, DecodeError) as error:
            pause = self._batches[batch].record_failure(time.monotonic())
            _log.error("segment_waits", batch=_told(batch), error=str(error), seconds=round(pause, 1))
            return False

    async def _try(self, batch: Path, take: Callable[[], Awaitable[bool]]) -> bool:
        try:
            taken = await take()
        except InsertFailed as error:
            self._record_failed_insert(batch, error)
            return False
        except StoreRejected as error:
            return self._refuse(batch, error)
        except DamagedBatch as error:
            self._park(batch, str(error))
            return True
        self._forget(batch)
        return taken

    def _record_failed_insert(self, batch: Path, error: InsertFailed) -> None:
        now = time.monotonic()
        self.figures.retries[error.reason] += 1
        self._batches[batch].record_failure(now)
        seconds = round(self._store.record_failure(now), 1)
        _log.warning("batch_not_loaded", batch=_told(batch), error=str(error), reason=error.reason, seconds=seconds)

    def _refuse(self, batch: Path, error: StoreRejected) -> bool:
        """Whether it is parked now."""
        self._refusals[batch] += 1
        if self._refusals[batch] >= REFUSALS_TO_PARK:
            self._park(batch, str(error))
            return True
        self.figures.retries[FailureReason.BAD_DATA] += 1
        self._batches[batch].record_failure(time.monotonic())
        _log.warning("batch_refused", batch=_told(batch), error=str(error), refusals=self._refusals[batch])
        return False

    def _park(self, batch: Path, reason: str) -> None:
        _log.error("batch_parked", batch=_told(batch), reason=reason)
        park(batch, reason)
        self._forget(batch)

    def _forget(self, batch: Path) -> None:
        self._batches.pop(batch, None)
        self._refusals.pop(batch, None)

    async def _take_segment(self, name: SegmentName) -> bool:
        parked = name.path(self._root, PARKED)
        if parked.exists():  # a crash in the middle of parking
            set_segment_aside(parked)
            return False
        if name.path(self._root, ACKED).exists():  # a crash between the acknowledgement and the deletion
            self._remove_acknowledged(name)
            return True
        batch = name.path(self._root, BATCH)
        if not batch.exists() and not await self._freeze(name):
            return True
        await self._send(batch)
        self._acknowledge(name)
        return True

    async def _freeze(self, name: SegmentName) -> bool:
        """False: there was nothing to freeze."""
        content = self.freezer.read(name)
        await self._read_salts_for(content.records)
        if self.freezer.freeze(name, content):
            return True
        _log.error("segment_without_records", segment=str(name), damaged=len(content.damages))
        name.path(self._root, SEALED).unlink()
        return False

    async def _read_salts_for(self, records: Sequence[tuple[int, bytes]]) -> None:
        """When they are old, or a day that should have one has none: StoreUnavailable when that cannot be had now."""
        today = datetime.now(UTC).date()
        wanted = {day for day in _days(records) if day >= today - RETENTION and day <= today + timedelta(days=1)}
        if all(self._visitors.has(day) for day in wanted - self._days_without_salt):
            if time.monotonic() - self._salts_read_at >= SALT_REFRESH_S:
                await self._refresh_salts()
            return
        if self._salts.is_waiting(time.monotonic()):
            raise StoreUnavailable("no salt for this day at hand")
        self._salts_read_at = time.monotonic()
        try:
            await self._visitors.refresh()
        except StoreError as error:  # a refusal too: it is not the batch that Postgres refuses
            self._salts.record_failure(time.monotonic())
            raise StoreUnavailable(f"no salts: {error}") from error
        self._salts.record_success()
        self._days_without_salt = {day for day in wanted if not self._visitors.has(day)}

    async def _refresh_salts(self) -> None:
        """Without Postgres those at hand go on."""
        self._salts_read_at = time.monotonic()
        try:
            await self._visitors.refresh()
        except StoreError as error:
            _log.warning("salts_not_read", error=str(error))

    async def _send(self, batch: Path) -> BatchHeader:
        """Have it accepted. Raises DamagedBatch, and as the loader does."""
        header, body = read_batch(batch)
        started = time.monotonic()
        await self._loader.load(header, body)
        self._store.record_success()
        self.figures.record_accepted(header, time.time_ns())
        seconds = round(time.monotonic() - started, 3)
        _log.info("batch_loaded", batch=header.token, rows=header.rows, scans=header.scans, seconds=seconds)
        return header

    def _acknowledge(self, name: SegmentName) -> None:
        """The rename is the acknowledgement; the grace period begins with it."""
        batch = name.path(self._root, BATCH)
        os.utime(batch)
        batch.rename(name.path(self._root, ACKED))
        self._remove_acknowledged(name)

    def _remove_acknowledged(self, name: SegmentName) -> None:
        """The acknowledgement is durable before the segment goes."""
        segments = [name.path(self._root, suffix) for suffix in (SEALED, PARKED_SEGMENT)]
        sync_directory(segments[0].parent)
        for segment in segments:
            segment.unlink(missing_ok=True)

    def _claim_more(self) -> None:
        for claim in claim_directories(self._root, frozenset(self._claims), self._refusals_to_claim):
            self._claims[claim.spool_id] = claim

    def _clear_up(self, claim: Claim) -> None:
        """A disk that refuses is asked again later; what stays meanwhile is only in the way."""
        if self._clearing.is_waiting(time.monotonic()):
            return
        try:
            self._remove_settled(claim)
        except OSError as error:
            pause = self._clearing.record_failure(time.monotonic())
            _log.error("clearing_up_waits", directory=str(claim.spool_id), error=str(error), seconds=round(pause, 1))

    def _remove_settled(self, claim: Claim) -> None:
        settled = [name for name in list_segments(self._root, claim.spool_id, ACKED) if self._is_settled(name)]
        if settled:
            sync_directory(claim.directory)  # no segment comes back that has lost its acknowledgement
        for name in settled:
            name.path(self._root, ACKED).unlink()
        remove_old_notes(claim.directory)
        if claim.remove_if_finished():
            claim.release()
            del self._claims[claim.spool_id]

    def _is_settled(self, name: SegmentName) -> bool:
        is_overdue = name.path(self._root, ACKED).stat().st_mtime < time.time() - ACKED_GRACE_S
        return is_overdue and not any(name.path(self._root, each).exists() for each in (SEALED, PARKED_SEGMENT))

    async def _pause(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except TimeoutError:
            return


def _told(batch: Path) -> str:
    return f"{batch.parent.name}/{batch.name}"


def _days(records: Sequence[tuple[int, bytes]]) -> set[date]:
    """The days of the first and the last record: time does not go back within a segment."""
    days = set()
    for _, payload in (*records[:1], *records[-1:]):
        try:
            days.add(utc_day(decode_scan(payload).scanned_at_ns))
        except (BadRecord, ValueError, OverflowError):
            continue
    return days

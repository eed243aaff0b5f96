"""The spool against its promise: each flushed scan that was not damaged becomes one row, always of the same identity.

Killed writers, readers killed between any two calls, damaged files, a disk that refuses, a clock that runs both ways,
against a model in memory. The reader is ingest's own collector.
"""

import asyncio
import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch
from uuid import UUID

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from ingest.dead_letters import PARKED_SEGMENT
from ingest.frozen_batch import batch_id
from ingest.scan_rows import event_id
from scanhop.spool import LossReason, SegmentName, SpoolId, SpoolLimits, SpoolWriter
from scanhop.spool.claim import list_spools
from scanhop.spool.durable_file import UNFINISHED
from scanhop.spool.frame import MARK
from scanhop.spool.segment import ACKED, BATCH, DAMAGED, OPEN, PARKED, SEALED, list_segments
from tests.ingest_on_a_spool import Life, MortalWarehouse, append_scan, collect, frames, let_die, new_collector
from tests.unit.spool.crashes import die, refuse

HOUR_NS = 3_600 * 1_000_000_000
SHARES = 1000
SET_ASIDE = {PARKED, PARKED_SEGMENT, ".json", SEALED, DAMAGED, UNFINISHED}  # a half goes with the rest
LIMITS = SpoolLimits(1 << 30, fsync_interval_s=3600, max_records=4, max_segment_bytes=1200, max_age_s=3600)
tails = st.sampled_from([b"", MARK, b"x" * 30, b"\n" + MARK + bytes(12)])
shares = st.integers(0, SHARES - 1)
some_tails = st.lists(tails, min_size=1, max_size=3)


class SpoolModel(RuleBasedStateMachine):
    """One writer at a time and one reader; nonces are the scans' serial numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp())
        self.loop = asyncio.new_event_loop()
        self.now_ns = 1_800_000_000_000_000_000
        self.serial = 0
        self.spool_ids: list[SpoolId] = []
        self.flushed: dict[int, UUID] = {}
        self.may_be_lost: set[int] = set()
        self.parked: set[int] = set()
        self.damaged_in_segment: set[int] = set()
        self.was_damaged = False
        self.life = Life()
        self.warehouse = MortalWarehouse(self.life.step)
        self.reader = new_collector(self.root, self.warehouse)
        self.start_writer()

    def start_writer(self) -> None:
        self.now_ns += 1_000_000  # else the order of directories would be chance, and no failure could be repeated
        self.writer = SpoolWriter(self.root, LIMITS, lambda: self.now_ns)
        self.spool_ids.append(self.writer.spool_id)
        self.appended: list[int] = []
        self.lost = self.written = 0

    # --- the edge ---

    @rule(tail=tails)
    def append(self, tail: bytes) -> None:
        self.serial += 1
        assert append_scan(self.writer, self.serial, tail)
        if self.writer.written_records > self.written:  # another month: what was appended has been written
            self.note_flushed()
        self.appended.append(self.serial)

    @rule(new=some_tails)
    def scans(self, new: list[bytes]) -> None:
        for tail in new:
            self.append(tail)
        self.flush()

    @rule()
    def flush(self) -> None:
        assert self.writer.flush()
        self.note_flushed()

    def note_flushed(self) -> None:
        """And which identity each scan has from now on."""
        self.written += len(self.appended)
        identities = self.identities(self.writer)
        self.flushed |= {nonce: identities[nonce] for nonce in self.appended}
        self.appended = []

    def identities(self, writer: SpoolWriter) -> dict[int, UUID]:
        """Of all scans in a writer's files."""
        return {
            frame.nonce: UUID(bytes=event_id(batch_id(name), frame.number))
            for name, path in self.segments(writer.spool_id)
            for frame in frames(path)
        }

    @rule(new=some_tails, kept=st.integers(0, 300), can_undo=st.booleans())
    def scans_on_a_disk_that_is_full(self, new: list[bytes], kept: int, can_undo: bool) -> None:
        for tail in new:
            self.append(tail)
        kept = min(kept, sum(len(part) for part in self.writer._buffer) - 1)
        if not can_undo:
            kept = min(kept, len(self.writer._buffer[0]) - 1)  # else whole records stay that were counted as lost
        with full_disk(kept, can_undo=can_undo):
            assert not self.writer.flush()
        self.lost += len(self.appended)
        self.appended = []

    @rule()
    def seal_if_due(self) -> None:
        self.writer.seal_if_due()

    @rule()
    def seal_by_age(self) -> None:
        if not self.writer._buffer:
            self.writer._seal()

    @rule()
    def note_a_failed_sync(self) -> None:
        self.writer._syncer._failures += 1
        self.writer.seal_if_due()
        self.note_flushed()

    @rule()
    def seal_on_a_disk_that_refuses(self) -> None:
        with patch("os.rename", refuse(errno.EIO)):
            self.writer.seal_if_due()

    @rule(hours=st.integers(-50, 500))
    def let_time_pass(self, hours: int) -> None:
        self.now_ns += hours * HOUR_NS

    @rule()
    def crash_and_reopen(self) -> None:
        die(self.writer)
        self.start_writer()

    @rule()
    def close_and_reopen(self) -> None:
        self.flush()
        self.writer.close()
        self.start_writer()

    # --- ingest ---

    @rule(calls=st.none() | st.integers(0, 12))
    def ingest(self, calls: int | None) -> None:
        """Takes and acknowledges what waits, or is killed after so many calls that change something."""
        with self.life.ends_after(calls):
            collect(self.loop, self.reader)
            return
        self.restart_ingest()

    @rule()
    def restart_ingest(self) -> None:
        let_die(self.reader)
        self.reader = new_collector(self.root, self.warehouse)

    @rule()
    def forget_what_was_acknowledged(self) -> None:
        """The grace period is over."""
        with patch("ingest.collector.ACKED_GRACE_S", -1.0):
            collect(self.loop, self.reader)

    # --- the disk ---

    @rule(data=st.data(), how=st.sampled_from(["flip a bit", "zero a range", "cut the tail"]))
    def damage(self, data: st.DataObject, how: str) -> None:
        files = self.damageable()
        if not files:
            return
        name, path = files[data.draw(st.integers(0, len(files) - 1), "file")]
        size = path.stat().st_size
        start = data.draw(shares, "from") * size // SHARES
        end = size if how == "cut the tail" else start + 1
        if how == "zero a range":
            end += data.draw(shares, "length") * (size - start) // SHARES
        self.note_damage(name, path, start, end)
        self.change(path, how, start, end)

    def change(self, path: Path, how: str, start: int, end: int) -> None:
        data = bytearray(path.read_bytes())
        if how == "cut the tail":
            del data[start:]
        elif how == "zero a range":
            data[start:end] = bytes(end - start)
        else:
            data[start] ^= 1 << self.serial % 8
        path.write_bytes(data)

    def damageable(self) -> list[tuple[SegmentName, Path]]:
        """What no process has open for writing."""
        return [
            (name, path)
            for spool_id in self.spool_ids
            for name, path in self.segments(spool_id) + self.files(spool_id, BATCH)
            if not (spool_id == self.writer.spool_id and path.suffix == OPEN) and path.stat().st_size
        ]

    def note_damage(self, name: SegmentName, path: Path, start: int, end: int) -> None:
        self.was_damaged = True
        if path.suffix == BATCH:
            segment = batch_id(name).bytes[:12]
            self.parked |= {nonce for nonce, identity in self.flushed.items() if identity.bytes[:12] == segment}
            return
        hit = {frame.nonce for frame in frames(path) if frame.start < end and start < frame.end}
        is_frozen = any(name.path(self.root, suffix).exists() for suffix in (BATCH, ACKED))
        self.damaged_in_segment |= hit
        self.may_be_lost |= set() if is_frozen else hit

    def segments(self, spool_id: SpoolId) -> list[tuple[SegmentName, Path]]:
        return self.files(spool_id, OPEN) + self.files(spool_id, SEALED)

    def files(self, spool_id: SpoolId, suffix: str) -> list[tuple[SegmentName, Path]]:
        return [(name, name.path(self.root, suffix)) for name in list_segments(self.root, spool_id, suffix)]

    # --- the promise ---

    @invariant()
    def no_row_was_not_flushed_and_identities_stay(self) -> None:
        assert self.warehouse.rows.items() <= self.flushed.items()

    @invariant()
    def every_record_is_counted_as_written_or_lost(self) -> None:
        assert self.writer.written_records == self.written
        assert self.writer.lost == ({LossReason.DISK_FULL: self.lost} if self.lost else {})

    def kept_beside_parked(self) -> set[int]:
        """A batch that is damaged after its scans were acknowledged has no segment any more."""
        parked = list(self.root.glob(f"*/*{PARKED}"))
        segments = [path.with_suffix(suffix) for path in parked for suffix in (SEALED, PARKED_SEGMENT)]
        return {frame.nonce for path in segments if path.exists() for frame in frames(path)}

    def teardown(self) -> None:
        try:
            die(self.writer)
            self.restart_ingest()
            for _ in range(3):
                self.forget_what_was_acknowledged()
            may_be_lost = self.may_be_lost | self.parked & self.damaged_in_segment
            assert self.flushed.keys() - may_be_lost <= self.warehouse.rows.keys() | self.kept_beside_parked()
            left = {(path.stem, path.suffix) for path in self.root.glob("*/0*")}
            assert {suffix for _, suffix in left} <= SET_ASIDE
            assert all((stem, PARKED) in left for stem, suffix in left if suffix in (SEALED, PARKED_SEGMENT))
            assert self.was_damaged or list_spools(self.root) == []
        finally:
            let_die(self.reader)
            self.loop.close()
            shutil.rmtree(self.root)


@contextmanager
def full_disk(kept: int, *, can_undo: bool) -> Iterator[None]:
    """Lets `kept` more bytes through; without `can_undo` they cannot be cut off again."""
    os_write, left = os.write, kept

    def write(fd: int, data: bytes) -> int:
        nonlocal left
        if left == 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = os_write(fd, data[:left])
        left -= written
        return written

    with patch("os.write", write), patch("os.ftruncate", os.ftruncate if can_undo else refuse(errno.EIO)):
        yield


class TestSpoolModel(SpoolModel.TestCase):
    settings = settings(max_examples=100, stateful_step_count=30, deadline=None, print_blob=True)


@pytest.mark.soak
@pytest.mark.timeout(3600)
class TestSpoolModelAtLength(SpoolModel.TestCase):
    settings = settings(max_examples=2000, stateful_step_count=60, deadline=None, print_blob=True)

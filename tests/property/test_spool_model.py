"""The spool against its promise: every flushed record is read exactly once and in order, and none is invented."""

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from scanhop.spool import LossReason, SpoolId, SpoolLimits, SpoolWriter, read_segment
from scanhop.spool.claim import Claim, claim_directories, list_spools
from scanhop.spool.frame import MARK
from scanhop.spool.segment import SEALED
from tests.unit.spool.crashes import die

HOUR_NS = 3_600 * 1_000_000_000
LIMITS = SpoolLimits(1 << 30, fsync_interval_s=3600, max_records=4, max_segment_bytes=400, max_age_s=3600)
tails = st.sampled_from([b"", MARK, b"x" * 30, b"\n" + MARK + bytes(12)])


class SpoolModel(RuleBasedStateMachine):
    """One writer at a time and one reader, with a clock that runs both ways and a disk that may refuse."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp())
        self.now_ns = 1_800_000_000_000_000_000
        self.claims: dict[SpoolId, Claim] = {}
        self.serial = 0
        self.flushed: dict[SpoolId, list[bytes]] = {}
        self.read: dict[SpoolId, list[bytes]] = {}
        self.start_writer()

    def start_writer(self) -> None:
        self.writer = SpoolWriter(self.root, LIMITS, lambda: self.now_ns)
        self.appended: list[bytes] = []
        self.flushed[self.writer.spool_id] = []
        self.lost = 0

    @rule(tail=tails)
    def append(self, tail: bytes) -> None:
        self.serial += 1
        payload = b"%d " % self.serial + tail
        spool_id = self.writer.spool_id
        waiting = self.writer.written_records
        assert self.writer.append(payload, at_ns=self.writer.now_ns())
        if self.writer.written_records > waiting:  # another month: what was appended has been written
            self.flushed[spool_id] += self.appended
            self.appended = []
        self.appended.append(payload)

    @rule(new=st.lists(tails, min_size=1, max_size=3))
    def scans(self, new: list[bytes]) -> None:
        for tail in new:
            self.append(tail)
        self.flush()

    @rule()
    def flush(self) -> None:
        assert self.writer.flush()
        self.flushed[self.writer.spool_id] += self.appended
        self.appended = []

    @rule(new=st.lists(tails, min_size=1, max_size=3), kept=st.integers(0, 100), can_undo=st.booleans())
    def scans_on_a_disk_that_is_full(self, new: list[bytes], kept: int, can_undo: bool) -> None:
        for tail in new:
            self.append(tail)
        kept = min(kept, sum(len(frame) for frame in self.writer._buffer) - 1)
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
    def note_a_failed_sync(self) -> None:
        self.writer._syncer._failures += 1
        self.writer.seal_if_due()
        self.flushed[self.writer.spool_id] += self.appended
        self.appended = []

    @rule(hours=st.integers(-50, 500))
    def let_time_pass(self, hours: int) -> None:
        self.now_ns += hours * HOUR_NS

    @rule()
    def crash(self) -> None:
        die(self.writer)
        self.start_writer()

    @rule()
    def close(self) -> None:
        self.flush()
        self.writer.close()
        self.start_writer()

    @rule()
    def take_what_waits(self) -> None:
        for claim in claim_directories(self.root, frozenset(self.claims)):
            self.claims[claim.spool_id] = claim
            self.read.setdefault(claim.spool_id, [])
        for claim in list(self.claims.values()):
            for name in claim.list_waiting():
                content = read_segment(name.path(self.root, SEALED), name)
                assert all(damage.is_tail for damage in content.damages)
                numbers = [number for number, _ in content.records]
                assert numbers == list(range(len(numbers)))
                self.read[claim.spool_id] += [payload for _, payload in content.records]
                name.path(self.root, SEALED).unlink()
            if claim.remove_if_finished():
                self.claims.pop(claim.spool_id).release()

    @rule()
    def reader_restarts(self) -> None:
        for claim in self.claims.values():
            claim.release()
        self.claims = {}

    @invariant()
    def nothing_is_read_that_was_not_flushed_nor_out_of_order(self) -> None:
        for spool_id, found in self.read.items():
            assert found == self.flushed[spool_id][: len(found)]

    @invariant()
    def every_record_is_counted_as_written_or_lost(self) -> None:
        assert self.writer.written_records == len(self.flushed[self.writer.spool_id])
        assert self.writer.lost == ({LossReason.DISK_FULL: self.lost} if self.lost else {})

    def teardown(self) -> None:
        die(self.writer)
        self.reader_restarts()
        self.take_what_waits()
        self.take_what_waits()
        try:
            assert {key: found for key, found in self.read.items() if found} == {
                key: records for key, records in self.flushed.items() if records
            }
            assert list_spools(self.root) == []
            assert not self.claims
        finally:
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

    def refuse(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with patch("os.write", write), patch("os.ftruncate", os.ftruncate if can_undo else refuse):
        yield


TestSpoolModel = SpoolModel.TestCase
TestSpoolModel.settings = settings(max_examples=250, stateful_step_count=30, deadline=None)

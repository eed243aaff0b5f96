"""The spool and its acknowledgement through a power cut at any call, on the least that a disk promises.

What a completed sync covered becomes a row, nothing becomes a row that was not written, none becomes two, no batch is
made anew once it was sent nor sent again once it was acknowledged, and what is found on the disk never stops ingest.
ClickHouse stands on another machine.
"""

import asyncio
import os
import random
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.frozen_batch import batch_id
from ingest.scan_rows import event_id
from scanhop.spool import SegmentName, SpoolLimits, SpoolWriter, prepare_root
from scanhop.spool.durable_file import sync_directory
from scanhop.spool.segment import DAMAGED
from tests.ingest_on_a_spool import Warehouse, append_scan, collect, let_die, new_collector
from tests.power_cut import Choice, Disk, Names, Nothing
from tests.unit.spool.crashes import die

STEPS = ("scan", "sync", "seal", "ingest", "kill_writer", "close_writer", "next_month", "forget")
STORY = (
    *("scan", "sync", "scan", "seal", "scan", "sync", "ingest", "scan", "close_writer", "ingest", "scan", "seal"),
    *("ingest", "sync", "next_month", "scan", "kill_writer", "scan", "sync", "ingest"),
)


class Machine:
    """An edge worker and ingest on one disk. `promised`: the scans that must survive; `written`: those that may,
    with their identity once it is known; `acknowledged`: tokens."""

    def __init__(self, folder: Path, fsync_interval_s: float) -> None:
        self.root = folder / "data" / "spool"
        self.limits = SpoolLimits(1 << 30, fsync_interval_s=fsync_interval_s, max_records=4, max_age_s=3600)
        self.now_ns = 1_800_000_000_000_000_000
        self.loop = asyncio.new_event_loop()
        self.warehouse = Warehouse()
        self.reader = new_collector(self.root, self.warehouse)
        self.writers: list[SpoolWriter] = []
        self.promised: set[int] = set()
        self.written: dict[int, UUID | None] = {}
        self.acknowledged: set[str] = set()

    def start_writer(self) -> None:
        self.now_ns += 1_000_000
        self.flushed: set[int] = set()
        self.writer = SpoolWriter(self.root, self.limits, lambda: self.now_ns)
        self.writers.append(self.writer)

    def stop(self) -> None:
        """Gives back what this process holds."""
        let_die(self.reader)
        for writer in self.writers:
            die(writer)
        self.loop.close()

    # --- steps ---

    def scan(self) -> None:
        """Two in one flush."""
        nonces = [len(self.written) + 1, len(self.written) + 2]
        for nonce in nonces:
            self.written[nonce] = None
            append_scan(self.writer, nonce)
            self.written[nonce] = self.identity()
        assert self.writer.flush()
        self.flushed |= set(nonces)
        if self.limits.fsync_interval_s == 0:
            self.promised |= self.flushed

    def identity(self) -> UUID:
        """Of the record that was appended last."""
        name, segment = SegmentName(self.writer.spool_id, self.writer._number), self.writer._segment
        assert segment is not None
        return UUID(bytes=event_id(batch_id(name), segment.next_number - 1))

    def sync(self) -> None:
        """The interval is over."""
        covered = set(self.flushed)
        self.writer._syncer.sync()
        self.promised |= covered

    def seal(self) -> None:
        self.writer._seal()

    def next_month(self) -> None:
        self.now_ns += 31 * 86_400 * 10**9

    def kill_writer(self) -> None:
        os.close(self.writer._lock_fd)
        self.writer._lock_fd = os.open(os.devnull, os.O_RDONLY)
        self.start_writer()

    def close_writer(self) -> None:
        self.writer.close()
        self.writers.remove(self.writer)
        self.promised |= self.flushed
        self.start_writer()

    def ingest(self) -> None:
        collect(self.loop, self.reader)
        self.acknowledged = set(self.warehouse.sent)

    def forget(self) -> None:
        """The grace period of what was acknowledged is over."""
        with patch("ingest.collector.ACKED_GRACE_S", -1.0):
            self.ingest()


@dataclass
class Wreck:
    """What the disk may look like after a power cut, and what was so at that moment."""

    folder: Path
    moment: str
    promised: set[int]
    written: dict[int, UUID | None]
    acknowledged: set[str]
    warehouse: Warehouse

    def check(self) -> None:
        """Ingest starts on it and takes all there is."""
        root = self.folder / "data" / "spool"
        self._recover(root)
        rows = self.warehouse.rows
        assert self.promised <= rows.keys(), f"lost after {self.moment}"
        assert not self.acknowledged & self.warehouse.again, f"sent again after {self.moment}"
        assert rows.keys() <= self.written.keys()
        assert {nonce: self.written[nonce] or identity for nonce, identity in rows.items()} == rows
        assert {path.suffix for path in root.glob("*/0*")} <= {DAMAGED}, f"left after {self.moment}"

    def _recover(self, root: Path) -> None:
        loop = asyncio.new_event_loop()
        reader = new_collector(root, self.warehouse)
        try:
            with patch("ingest.collector.ACKED_GRACE_S", -1.0), patch("os.fsync", lambda fd: None):
                assert any(collect(loop, reader) == 0 for _ in range(20)), f"never done after {self.moment}"
        finally:
            let_die(reader)
            loop.close()


class PowerCuts:
    """Runs steps on a machine, and gathers what its disk may look like at each moment."""

    def __init__(self, folder: Path, fsync_interval_s: float, choices: Callable[[], Sequence[Choice]]) -> None:
        (folder / "disk").mkdir()
        self._folder = folder
        self._choices = choices
        self._machine = Machine(folder / "disk", fsync_interval_s)
        self._disk = Disk(folder / "disk", self._cut)
        self._step = "start"
        self.wrecks: list[Wreck] = []

    def run(self, steps: Sequence[str]) -> None:
        try:
            with self._disk.in_use():
                prepare_root(self._machine.root)
                self._machine.start_writer()
                for number, step in enumerate(steps):
                    self._step = f"{step} ({number})"
                    getattr(self._machine, step)()
                self._cut()
        finally:
            self._machine.stop()

    def _cut(self) -> None:
        machine = self._machine
        for choice in self._choices():
            folder = self._folder / f"{len(self.wrecks)}"
            folder.mkdir()
            self._disk.build(folder, choice)
            moment = f"{self._step}, {type(choice).__name__}"
            known = set(machine.promised), dict(machine.written), set(machine.acknowledged)
            self.wrecks.append(Wreck(folder, moment, *known, machine.warehouse.copy()))


@contextmanager
def power_cuts(fsync_interval_s: float, choices: Callable[[], Sequence[Choice]]) -> Iterator[PowerCuts]:
    with tempfile.TemporaryDirectory() as folder:
        yield PowerCuts(Path(folder), fsync_interval_s, choices)


def check(steps: Sequence[str], fsync_interval_s: float, choices: Callable[[], Sequence[Choice]]) -> None:
    with power_cuts(fsync_interval_s, choices) as cuts:
        cuts.run(steps)
        for wreck in cuts.wrecks:
            wreck.check()


intervals = pytest.mark.parametrize("fsync_interval_s", [0, 3600], ids=["every write", "each interval"])
machines = {
    "steps": st.lists(st.sampled_from(STEPS), min_size=2, max_size=14),
    "fsync_interval_s": st.sampled_from([0, 3600]),
    "seed": st.integers(0, 2**32 - 1),
}


def check_some_moments(steps: Sequence[str], fsync_interval_s: float, seed: int) -> None:
    chooser = random.Random(seed)
    check(steps, fsync_interval_s, lambda: [Choice(chooser)] if chooser.randrange(8) == 0 else [])


@intervals
def test_a_power_cut_before_any_call_of_a_whole_story_takes_nothing_that_was_promised(fsync_interval_s):
    chooser = random.Random(7)
    check(STORY, fsync_interval_s, lambda: [Nothing(), Names(), Choice(chooser)])


def test_a_power_cut_while_what_was_acknowledged_is_removed_brings_no_segment_back_alone():
    chooser = random.Random(7)
    check([*STORY, "forget", "scan", "sync", "forget"], 3600, lambda: [Choice(chooser)] * 3)


@given(**machines)
@settings(max_examples=40, deadline=None, print_blob=True)
def test_a_power_cut_at_any_moment_takes_nothing_that_was_promised(steps, fsync_interval_s, seed):
    check_some_moments(steps, fsync_interval_s, seed)


@pytest.mark.soak
@pytest.mark.timeout(3600)
@given(**machines)
@settings(max_examples=3000, deadline=None, print_blob=True)
def test_power_cuts_at_length(steps, fsync_interval_s, seed):
    check_some_moments(steps, fsync_interval_s, seed)


def test_the_disk_of_these_tests_loses_what_was_not_synced(tmp_path):
    """Else the others could not fail."""
    disk = Disk(tmp_path / "disk", lambda: None)
    (tmp_path / "disk").mkdir()
    with disk.in_use():
        for name, is_synced in (("kept", True), ("lost", False)):
            fd = os.open(tmp_path / "disk" / name, os.O_WRONLY | os.O_CREAT)
            os.write(fd, b"one")
            if is_synced:
                os.fsync(fd)
                sync_directory(tmp_path / "disk")
                os.write(fd, b"two")
            os.close(fd)
        (tmp_path / "disk" / "kept").rename(tmp_path / "disk" / "renamed")
    assert built(disk, tmp_path / "1", Nothing()) == {"kept": b"one"}
    assert built(disk, tmp_path / "2", Names()) == {"renamed": b"one", "lost": b""}


def built(disk: Disk, folder: Path, choice: Choice) -> dict[str, bytes]:
    folder.mkdir()
    disk.build(folder, choice)
    return {path.name: path.read_bytes() for path in folder.iterdir()}

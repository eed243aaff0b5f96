import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from scanhop.spool import BoundedWriter, LossReason, SpoolLimits, SpoolWriter
from scanhop.spool import bounded_writer as module
from scanhop.spool.segment import OPEN, SEALED
from tests.product import eventually as wait_until
from tests.unit.spool.crashes import payloads, suffixes


class Disk:
    """Stands before write(2): while it is stalled, whoever writes into the spool waits."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._runs = threading.Event()
        self._runs.set()
        self.waiting = threading.Event()
        write = os.write

        def stalling(fd: int, data: bytes) -> int:
            if not self._runs.is_set():
                self.waiting.set()
                self._runs.wait(60)
            return write(fd, data)

        monkeypatch.setattr(os, "write", stalling)

    def stall(self) -> None:
        self._runs.clear()

    def come_back(self) -> None:
        self._runs.set()


@pytest.fixture
def disk(monkeypatch) -> Iterator[Disk]:
    disk = Disk(monkeypatch)
    yield disk
    disk.come_back()


@pytest.fixture
def spool(spool_root, monkeypatch, disk) -> Iterator[BoundedWriter]:
    monkeypatch.setattr(module, "MAX_WAIT_S", 0.05)
    monkeypatch.setattr(module, "SEAL_TICK_S", 0.01)
    limits = SpoolLimits(1 << 20, fsync_interval_s=60, max_records=5, max_age_s=3600)
    spool = BoundedWriter(SpoolWriter(spool_root, limits))
    yield spool
    disk.come_back()
    spool.close()


def write(spool: BoundedWriter, *records: bytes) -> bool:
    spool.append_all(records, at_ns=spool.now_ns())
    return spool.flush()


def test_what_was_flushed_is_in_the_file(spool, spool_root):
    spool.append(b"one", at_ns=spool.now_ns())
    spool.append(b"orphan", at_ns=spool.now_ns(), is_unknown=True)
    assert write(spool, b"two", b"three")
    assert payloads(spool_root, spool.spool_id) == [b"one", b"orphan", b"two", b"three"]
    assert spool.written_records == 4


def test_flushing_nothing_asks_nobody(spool, spool_root):
    assert spool.flush()
    assert suffixes(spool_root) == []


def test_a_full_segment_is_sealed(spool, spool_root):
    assert write(spool, *[b"record"] * 5)
    wait_until(lambda: suffixes(spool_root) == [SEALED])


def test_an_old_segment_is_sealed_without_being_asked(spool_root, monkeypatch):
    monkeypatch.setattr(module, "SEAL_TICK_S", 0.01)
    spool = BoundedWriter(SpoolWriter(spool_root, SpoolLimits(1 << 20, max_age_s=0)))
    write(spool, b"one")
    wait_until(lambda: suffixes(spool_root) == [SEALED])
    spool.close()


def test_an_old_segment_is_sealed_also_while_scans_never_pause(spool_root, monkeypatch):
    monkeypatch.setattr(module, "SEAL_TICK_S", 0.2)
    spool = BoundedWriter(SpoolWriter(spool_root, SpoolLimits(1 << 20, max_age_s=0)))
    wait_until(lambda: write(spool, b"one") and SEALED in suffixes(spool_root))
    spool.close()


def test_a_stalled_disk_is_waited_for_once_and_then_scans_are_counted_as_lost(spool, disk):
    assert write(spool, b"before")
    disk.stall()
    assert not write(spool, b"handed over")
    assert not write(spool, b"lost", b"lost too")
    assert disk.waiting.is_set()
    assert spool.lost == {LossReason.DISK_STALLED: 2}


def test_what_was_handed_over_before_the_stall_was_noticed_is_written_when_the_disk_comes_back(
    spool, spool_root, disk
):
    write(spool, b"before")
    disk.stall()
    write(spool, b"handed over")
    write(spool, b"lost")
    disk.come_back()
    wait_until(lambda: spool.written_records == 2)
    assert write(spool, b"after")
    assert payloads(spool_root, spool.spool_id) == [b"before", b"handed over", b"after"]
    assert spool.lost == {LossReason.DISK_STALLED: 1}


def test_every_record_is_written_or_counted_whatever_the_disk_does(spool, disk):
    for tick in range(60):
        if tick % 20 == 5:
            disk.stall()
        if tick % 20 == 15:
            disk.come_back()
        write(spool, b"one", b"two")
    disk.come_back()
    wait_until(lambda: spool.written_records + spool.lost.total() == 120)


def test_a_loss_is_told(spool_root):
    spool = BoundedWriter(SpoolWriter(spool_root, SpoolLimits(max_bytes=0)))
    assert not write(spool, b"one")
    assert spool.lost == {LossReason.SPOOL_FULL: 1}
    spool.close()


def test_closing_writes_what_is_left_and_gives_the_directory_up(spool_root):
    spool = BoundedWriter(SpoolWriter(spool_root, SpoolLimits(1 << 20)))
    spool.append(b"one", at_ns=spool.now_ns())
    spool.close()
    assert suffixes(spool_root) == [SEALED]
    assert not any(thread.name.startswith("spool-write") for thread in threading.enumerate())


def test_closing_does_not_wait_for_ever_for_a_disk_that_is_away(spool_root, monkeypatch, disk):
    monkeypatch.setattr(module, "CLOSE_WAIT_S", 0.05)
    monkeypatch.setattr(module, "MAX_WAIT_S", 0.05)
    spool = BoundedWriter(SpoolWriter(spool_root, SpoolLimits(1 << 20)))
    write(spool, b"one")
    disk.stall()
    write(spool, b"two")
    spool.close()
    disk.come_back()
    wait_until(lambda: suffixes(spool_root) == [SEALED])


def test_the_backlog_is_looked_at_by_the_thread(spool, spool_root: Path, monkeypatch):
    monkeypatch.setattr(module, "BACKLOG_S", 0)
    write(spool, b"one")
    wait_until(lambda: spool.backlog.segments == 1)
    assert suffixes(spool_root) == [OPEN]

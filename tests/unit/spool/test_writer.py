import errno
import os
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanhop.spool import LossReason, SpoolLimits, SpoolWriter, prepare_root
from scanhop.spool.frame import FRAME_HEAD, MAX_PAYLOAD
from scanhop.spool.segment import HEADER_SIZE, OPEN, SEALED, list_segments
from scanhop.spool.usage import spool_bytes
from tests.unit.spool.conftest import NOON, Clock
from tests.unit.spool.crashes import die, payloads, refuse, suffixes

DAY_NS = 86_400 * 1_000_000_000
END_OF_JANUARY = NOON + 16 * DAY_NS + DAY_NS // 2  # 2027-02-01, 00:00 UTC
FRAME = FRAME_HEAD.size


def write(writer: SpoolWriter, *records: bytes, is_unknown: bool = False) -> bool:
    """Append all, flush once. Whether every record was taken and written."""
    taken = [writer.append(record, at_ns=writer.now_ns(), is_unknown=is_unknown) for record in records]
    return writer.flush() and all(taken)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


# --- what is in the file, and when ---


def test_a_flushed_record_is_in_the_file(open_writer, spool_root):
    writer = open_writer()
    assert write(writer, b"one", b"", b"two")
    assert payloads(spool_root, writer.spool_id) == [b"one", b"", b"two"]
    assert writer.written_records == 3
    assert not writer.lost


def test_a_record_that_was_only_appended_is_not_yet_in_the_file(open_writer, spool_root):
    writer = open_writer()
    writer.append(b"one", at_ns=NOON)
    assert payloads(spool_root, writer.spool_id) == []


def test_one_flush_is_one_write(open_writer, monkeypatch):
    writer = open_writer()
    write(writer, b"first")
    sizes = []
    os_write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: sizes.append(len(data)) or os_write(fd, data))
    write(writer, b"one", b"two", b"three")
    assert sizes == [3 * FRAME + 11]


def test_flushing_nothing_writes_nothing(open_writer, spool_root):
    writer = open_writer()
    assert writer.flush()
    assert suffixes(spool_root) == []


def test_no_file_is_made_before_the_first_record(open_writer, spool_root):
    open_writer()
    assert suffixes(spool_root) == []


def test_only_the_owner_can_read_the_spool(open_writer, spool_root):
    writer = open_writer()
    write(writer, b"one")
    directory = spool_root / str(writer.spool_id)
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()} == {0o600}


def test_a_root_is_prepared_with_its_parents_and_for_its_owner_alone(tmp_path):
    root = tmp_path / "a" / "spool"
    prepare_root(root)
    prepare_root(root)
    assert stat.S_IMODE(root.stat().st_mode) == 0o700
    assert list(root.iterdir()) == []


def test_a_root_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        prepare_root(tmp_path / "file" / "spool")


def test_a_writer_without_a_root_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError):
        SpoolWriter(tmp_path / "none", SpoolLimits(max_bytes=1 << 30))


def test_two_writers_on_one_root_have_a_directory_each(open_writer, spool_root):
    one, two = open_writer(), open_writer()
    write(one, b"one")
    write(two, b"two")
    assert one.spool_id != two.spool_id
    assert payloads(spool_root, one.spool_id) == [b"one"]
    assert payloads(spool_root, two.spool_id) == [b"two"]


# --- sealing ---


def test_a_segment_is_sealed_by_count(open_writer, spool_root, numbered):
    writer = open_writer(max_records=2)
    for _ in range(5):
        write(writer, next(numbered))
        writer.seal_if_due()
    assert suffixes(spool_root) == [OPEN, SEALED, SEALED]
    assert payloads(spool_root, writer.spool_id) == [f"record {number}".encode() for number in range(5)]


def test_a_segment_is_sealed_by_size(open_writer, spool_root):
    writer = open_writer(max_segment_bytes=HEADER_SIZE + 2 * (FRAME + 10))
    write(writer, bytes(10))
    writer.seal_if_due()
    assert suffixes(spool_root) == [OPEN]
    write(writer, bytes(10))
    writer.seal_if_due()
    assert suffixes(spool_root) == [SEALED]


def test_a_segment_is_sealed_by_the_age_of_its_first_record(open_writer, spool_root):
    writer = open_writer(max_age_s=0.05)
    write(writer, b"one")
    writer.seal_if_due()
    assert suffixes(spool_root) == [OPEN]
    time.sleep(0.06)
    write(writer, b"two")
    writer.seal_if_due()
    assert suffixes(spool_root) == [SEALED]


def test_age_no_longer_seals_while_many_segments_wait(open_writer, spool_root):
    writer = open_writer(max_age_s=0, max_waiting=2)
    for _ in range(4):
        write(writer, b"one")
        writer.seal_if_due()
    assert suffixes(spool_root) == [OPEN, SEALED, SEALED]


def test_age_seals_again_when_the_waiting_ones_are_gone(open_writer, spool_root):
    writer = open_writer(max_age_s=0, max_waiting=1)
    write(writer, b"one")
    writer.seal_if_due()
    write(writer, b"two")
    writer.seal_if_due()
    assert suffixes(spool_root) == [OPEN, SEALED]
    next(spool_root.glob(f"*/*{SEALED}")).unlink()
    writer.seal_if_due()
    assert suffixes(spool_root) == [SEALED]


def test_count_seals_however_many_segments_wait(open_writer, spool_root):
    writer = open_writer(max_records=1, max_waiting=1)
    for _ in range(3):
        write(writer, b"one")
        writer.seal_if_due()
    assert suffixes(spool_root) == [SEALED] * 3


def test_nothing_is_sealed_between_append_and_flush(open_writer, spool_root):
    writer = open_writer(max_age_s=0)
    write(writer, b"one")
    writer.append(b"two", at_ns=NOON)
    writer.seal_if_due()
    assert suffixes(spool_root) == [OPEN]


def test_another_month_begins_another_segment(open_writer, spool_root, clock):
    writer = open_writer()
    clock.ns = END_OF_JANUARY - 1
    write(writer, b"january")
    clock.ns = END_OF_JANUARY
    write(writer, b"february")
    assert suffixes(spool_root) == [OPEN, SEALED]
    assert payloads(spool_root, writer.spool_id) == [b"january", b"february"]


def test_a_month_that_ends_between_append_and_flush_loses_nothing(open_writer, spool_root, clock):
    writer = open_writer()
    clock.ns = END_OF_JANUARY - 1
    writer.append(b"january", at_ns=writer.now_ns())
    clock.ns = END_OF_JANUARY
    assert write(writer, b"february")
    assert suffixes(spool_root) == [OPEN, SEALED]
    assert payloads(spool_root, writer.spool_id) == [b"january", b"february"]
    assert writer.written_records == 2


def test_a_clock_that_goes_back_does_not_take_time_with_it(open_writer, clock):
    writer = open_writer()
    clock.ns = NOON + 5
    assert writer.now_ns() == NOON + 5
    clock.ns = NOON
    assert writer.now_ns() == NOON + 5
    clock.ns = NOON + 6
    assert writer.now_ns() == NOON + 6


def test_a_clock_that_goes_back_over_the_end_of_a_month_does_not_begin_a_segment(open_writer, spool_root, clock):
    writer = open_writer()
    clock.ns = END_OF_JANUARY
    write(writer, b"one")
    clock.ns = END_OF_JANUARY - 1
    write(writer, b"two")
    assert suffixes(spool_root) == [OPEN]


def test_a_clock_that_was_set_back_ends_the_segment_and_is_followed(open_writer, spool_root, clock):
    writer = open_writer()
    clock.ns = NOON + DAY_NS
    write(writer, b"tomorrow, wrongly")
    clock.ns = NOON
    assert writer.now_ns() == NOON
    write(writer, b"today")
    assert suffixes(spool_root) == [OPEN, SEALED]
    assert payloads(spool_root, writer.spool_id) == [b"tomorrow, wrongly", b"today"]


def test_a_disk_with_too_little_left_for_ingest_takes_no_more_scans(open_writer, spool_root, monkeypatch):
    monkeypatch.setattr("scanhop.spool.writer.is_disk_low", lambda root: True)
    writer = open_writer()
    assert not write(writer, b"one")
    assert writer.lost == {LossReason.DISK_FULL: 1}
    assert payloads(spool_root, writer.spool_id) == []


@pytest.mark.parametrize("interval_s", [0, 0.01])
def test_the_name_of_a_new_segment_is_made_durable(open_writer, spool_root, monkeypatch, interval_s):
    synced: list[Path] = []
    monkeypatch.setattr("scanhop.spool.writer.sync_directory", synced.append)
    writer = open_writer(fsync_interval_s=interval_s)
    write(writer, b"one")
    wait_until(lambda: synced == [spool_root, spool_root / str(writer.spool_id)])


def test_record_numbers_begin_anew_in_each_segment(open_writer, spool_root):
    writer = open_writer(max_records=2)
    for _ in range(2):
        write(writer, b"one", b"two")
        writer.seal_if_due()
    for name in list_segments(spool_root, writer.spool_id, SEALED):
        data = name.path(spool_root, SEALED).read_bytes()
        assert data[HEADER_SIZE + 12 : HEADER_SIZE + 16] == bytes(4)


def test_close_writes_seals_and_gives_the_directory_up(open_writer, spool_root):
    writer = open_writer()
    write(writer, b"one")
    writer.append(b"two", at_ns=NOON)
    writer.close()
    assert suffixes(spool_root) == [SEALED]
    assert payloads(spool_root, writer.spool_id) == [b"one", b"two"]
    assert not writer._syncer.is_alive()


def test_close_without_a_record_leaves_nothing_but_the_lock(open_writer, spool_root):
    open_writer().close()
    assert suffixes(spool_root) == []


def test_close_closes_every_file(open_writer):
    before = set(os.listdir("/proc/self/fd"))  # noqa: PTH208
    writer = open_writer(max_records=1)
    for _ in range(5):
        write(writer, b"one")
        writer.seal_if_due()
    writer.close()
    assert set(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


def test_sealed_files_do_not_stay_open(open_writer):
    writer = open_writer(max_records=1, fsync_interval_s=0.01)
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    for _ in range(20):
        write(writer, b"one")
        writer.seal_if_due()
    wait_until(lambda: len(os.listdir("/proc/self/fd")) <= before)  # noqa: PTH208


# --- bounds ---


def test_a_payload_of_the_greatest_size_is_taken(open_writer, spool_root):
    writer = open_writer()
    assert write(writer, bytes(MAX_PAYLOAD))
    assert payloads(spool_root, writer.spool_id) == [bytes(MAX_PAYLOAD)]


def test_a_larger_payload_is_lost_and_counted(open_writer, spool_root):
    writer = open_writer()
    assert not write(writer, b"one", bytes(MAX_PAYLOAD + 1), b"two")
    assert writer.lost == {LossReason.TOO_LARGE: 1}
    assert payloads(spool_root, writer.spool_id) == [b"one", b"two"]


def test_beyond_its_bound_the_spool_keeps_what_it_has_and_loses_what_comes(open_writer, spool_root):
    writer = open_writer(max_bytes=10_000)
    results = [write(writer, bytes(900)) for _ in range(20)]
    written = sum(results)
    assert results == [True] * written + [False] * (20 - written)
    assert 8 <= written <= 11
    assert writer.lost == {LossReason.SPOOL_FULL: 20 - written}
    assert payloads(spool_root, writer.spool_id) == [bytes(900)] * written


def test_a_spool_at_its_bound_still_seals_and_closes(open_writer, spool_root):
    writer = open_writer(max_bytes=1000, max_age_s=0)
    while write(writer, bytes(100)):
        pass
    writer.seal_if_due()
    assert suffixes(spool_root) == [SEALED]
    writer.close()


def test_space_that_becomes_free_is_used_again(open_writer, spool_root, monkeypatch):
    writer = open_writer(max_bytes=1000, max_age_s=0)
    while write(writer, bytes(100)):
        pass
    writer.seal_if_due()
    next(spool_root.glob(f"*/*{SEALED}")).unlink()
    monkeypatch.setattr("scanhop.spool.writer.USAGE_INTERVAL_NS", 0)
    assert write(writer, bytes(100))


@given(batches=st.lists(st.lists(st.integers(0, 300), max_size=12), max_size=12), bound=st.integers(0, 3000))
def test_one_writer_never_uses_more_than_the_bound(tmp_path_factory, batches, bound):
    root = tmp_path_factory.mktemp("spool")
    limits = SpoolLimits(bound, fsync_interval_s=60, max_records=5, max_age_s=3600)
    writer = SpoolWriter(root, limits, lambda: NOON)
    appended = 0
    for batch in batches:
        write(writer, *(bytes(size) for size in batch))
        writer.seal_if_due()
        appended += len(batch)
        assert spool_bytes(root) <= bound
    assert writer.written_records + writer.lost.total() == appended
    die(writer)


def test_what_others_left_in_the_root_counts(open_writer, spool_root):
    (spool_root / "0").mkdir()
    (spool_root / "0" / "00000001.sealed").write_bytes(bytes(5000))
    writer = open_writer(max_bytes=5000)
    assert not write(writer, b"one")
    assert writer.lost == {LossReason.SPOOL_FULL: 1}


def test_unknown_codes_may_use_a_tenth_of_the_bound(open_writer, spool_root):
    writer = open_writer(max_bytes=100_000)
    unknown = [write(writer, bytes(984), is_unknown=True) for _ in range(20)]
    written = sum(unknown)
    assert unknown == [True] * written + [False] * (20 - written)
    assert 9 <= written <= 11
    assert writer.lost == {LossReason.UNKNOWN_SHARE: 20 - written}


def test_known_codes_are_taken_when_unknown_ones_no_longer_are(open_writer, spool_root):
    writer = open_writer(max_bytes=10_000)
    while write(writer, bytes(100), is_unknown=True):
        pass
    assert write(writer, b"known")


def test_a_directory_that_cannot_be_looked_into_costs_no_scan(open_writer, spool_root, monkeypatch):
    foreign = spool_root / "lost+found"
    foreign.mkdir()
    scandir = os.scandir

    def refuse(path: Path) -> Iterator[os.DirEntry[str]]:
        if Path(path) == foreign:
            raise PermissionError(errno.EACCES, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert write(open_writer(), b"one")


# --- a disk that refuses ---


class FaultyDisk:
    """Fails the n-th write(2) after letting through `keep` bytes of it, and all that follow while it is `broken`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, number: int, keep: int, error: int, *, broken: bool) -> None:
        self._number, self._keep, self._error, self._broken = number, keep, error, broken
        self._calls = 0
        self._write = os.write
        monkeypatch.setattr(os, "write", self.write)

    def write(self, fd: int, data: bytes) -> int:
        self._calls += 1
        if self._calls == self._number and self._keep:
            return self._write(fd, data[: self._keep])
        if self._calls == self._number + bool(self._keep) or (self._broken and self._calls > self._number):
            raise OSError(self._error, os.strerror(self._error))
        return self._write(fd, data)


@pytest.mark.parametrize("broken", [False, True], ids=["once", "for good"])
@pytest.mark.parametrize("keep", [0, 1, 20, 60])
@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
@pytest.mark.parametrize("number", range(1, 8))
def test_a_failed_write_is_undone_and_counted_and_nothing_else_breaks(
    open_writer, spool_root, monkeypatch, number, error, keep, broken
):
    writer = open_writer(max_records=4)
    FaultyDisk(monkeypatch, number, keep, error, broken=broken)
    expected, lost = [], 0
    for batch in range(6):
        records = [b"%d-%d" % (batch, record) * 20 for record in range(2)]
        taken = [record for record in records if writer.append(record, at_ns=writer.now_ns())]
        if writer.flush():
            expected += taken
            lost += len(records) - len(taken)
        else:
            lost += len(records)
        writer.seal_if_due()
    reason = LossReason.WRITE_FAILED if error == errno.EIO else LossReason.DISK_FULL
    assert payloads(spool_root, writer.spool_id) == expected
    assert writer.lost == ({reason: lost} if lost else {})
    assert writer.written_records == len(expected)
    assert lost


@pytest.mark.parametrize("keep", [1, 20, 60])
def test_a_short_write_is_finished(open_writer, spool_root, monkeypatch, keep):
    writer = open_writer()
    os_write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: os_write(fd, data[:keep]))
    assert write(writer, bytes(100), b"two")
    assert payloads(spool_root, writer.spool_id) == [bytes(100), b"two"]


def test_after_a_failed_write_the_next_record_begins_a_new_segment(open_writer, spool_root, monkeypatch):
    writer = open_writer()
    write(writer, b"one")
    FaultyDisk(monkeypatch, 1, 5, errno.EIO, broken=False)
    assert not write(writer, b"two")
    assert write(writer, b"three")
    assert suffixes(spool_root) == [OPEN, SEALED]


def test_a_torn_frame_that_cannot_be_cut_off_costs_no_other_record(open_writer, spool_root, monkeypatch):
    writer = open_writer()
    write(writer, b"one")
    FaultyDisk(monkeypatch, 1, 5, errno.EIO, broken=False)
    monkeypatch.setattr(os, "ftruncate", refuse(errno.EIO))
    assert not write(writer, b"two")
    assert write(writer, b"three")
    assert payloads(spool_root, writer.spool_id) == [b"one", b"three"]


def test_a_segment_that_cannot_be_made_is_a_loss_and_the_next_one_is_tried(open_writer, spool_root, monkeypatch):
    writer = open_writer()
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse(errno.EMFILE))
        assert not write(writer, b"one")
    assert write(writer, b"two")
    assert writer.lost == {LossReason.WRITE_FAILED: 1}
    assert payloads(spool_root, writer.spool_id) == [b"two"]


def test_a_segment_that_cannot_be_renamed_is_counted_and_loses_nothing(open_writer, spool_root, monkeypatch):
    writer = open_writer(max_records=1)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", refuse(errno.EIO))
        write(writer, b"one")
        writer.seal_if_due()
        assert suffixes(spool_root) == [OPEN]
    assert write(writer, b"two")
    assert writer.seal_failures == 1
    assert payloads(spool_root, writer.spool_id) == [b"one", b"two"]


def test_a_segment_that_could_not_be_renamed_is_sealed_when_the_disk_allows_it(open_writer, spool_root, monkeypatch):
    writer = open_writer(max_records=1)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", refuse(errno.ENOSPC))
        for _ in range(2):
            write(writer, b"one")
            writer.seal_if_due()
    writer.seal_if_due()
    assert suffixes(spool_root) == [SEALED, SEALED]
    assert writer.seal_failures == 2


def test_a_segment_that_could_not_be_renamed_and_was_removed_is_forgotten(open_writer, spool_root, monkeypatch):
    writer = open_writer(max_records=1)
    write(writer, b"one")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", refuse(errno.EIO))
        writer.seal_if_due()
    next(spool_root.glob(f"*/*{OPEN}")).unlink()
    writer.seal_if_due()
    assert writer._unsealed == []


def test_a_disk_that_is_full_loses_only_what_comes_and_takes_again_when_it_has_room(tmp_path):
    root = tmp_path / "small"
    root.mkdir()
    if os.geteuid() != 0 or _mount(root) != 0:
        pytest.skip("needs the right to mount a file system of 64 KiB")
    try:
        filler = root / "filler"
        writer = SpoolWriter(root, SpoolLimits(1 << 30, fsync_interval_s=60, max_age_s=0), lambda: NOON)
        filler.write_bytes(bytes(20_000))
        results = [write(writer, bytes(4000)) for _ in range(20)]
        written = sum(results)
        assert 0 < written < 15
        assert writer.lost == {LossReason.DISK_FULL: 20 - written}
        assert payloads(root, writer.spool_id) == [bytes(4000)] * written
        filler.unlink()
        assert write(writer, b"again")
        writer.close()
        assert payloads(root, writer.spool_id) == [bytes(4000)] * written + [b"again"]
    finally:
        subprocess.run(["/bin/umount", root], check=True)


def test_a_limit_of_the_process_on_file_sizes_is_met_with_a_new_segment(spool_root):
    script = """
import resource, sys
from pathlib import Path
from scanhop.spool import SpoolLimits, SpoolWriter
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
writer = SpoolWriter(Path(sys.argv[1]), SpoolLimits(1 << 30, fsync_interval_s=60))
results = []
for number in range(20):
    writer.append(bytes(990), at_ns=writer.now_ns())
    results.append(writer.flush())
print(results.count(True), writer.written_records, dict(writer.lost), writer.spool_id)
"""
    run = subprocess.run(
        [sys.executable, "-c", script, str(spool_root)], capture_output=True, text=True, timeout=30, check=True
    )
    assert run.stdout.startswith("16 16 {<LossReason.WRITE_FAILED: 'write_failed'>: 4}")
    (directory,) = spool_root.iterdir()
    sizes = [path.stat().st_size for path in directory.iterdir()]
    assert sum(sizes) == 16 * (990 + FRAME) + 4 * HEADER_SIZE


# --- fsync ---


class Syncs:
    """Counts the calls of fdatasync by who made them; fails as many as it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.by_writer = 0
        self.by_syncer = 0
        self.failures_to_come = 0
        self.error = errno.EIO
        self._fdatasync = os.fdatasync
        monkeypatch.setattr(os, "fdatasync", self)

    def __call__(self, fd: int) -> None:
        if threading.current_thread().name == "spool-sync":
            self.by_syncer += 1
        else:
            self.by_writer += 1
        if self.failures_to_come:
            self.failures_to_come -= 1
            raise OSError(self.error, os.strerror(self.error))
        self._fdatasync(fd)


@pytest.fixture
def syncs(monkeypatch: pytest.MonkeyPatch) -> Syncs:
    return Syncs(monkeypatch)


def test_with_no_interval_every_flush_syncs(open_writer, syncs):
    writer = open_writer(fsync_interval_s=0)
    for _ in range(3):
        write(writer, b"one", b"two")
    assert syncs.by_writer == 3


def test_with_an_interval_flushing_does_not_wait_for_the_disk(open_writer, syncs):
    writer = open_writer()
    write(writer, b"one")
    assert syncs.by_writer == 0


def test_the_open_segment_is_synced_at_each_interval(open_writer, syncs):
    writer = open_writer(fsync_interval_s=0.01)
    write(writer, b"one")
    wait_until(lambda: syncs.by_syncer >= 2)


def test_a_sealed_segment_is_synced_before_the_writer_is_closed(open_writer, syncs):
    writer = open_writer(max_records=1)
    write(writer, b"one")
    writer.seal_if_due()
    write(writer, b"two")
    writer.close()
    assert syncs.by_syncer == 2


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC])
def test_a_failed_sync_ends_the_segment_and_is_counted(open_writer, syncs, spool_root, error):
    writer = open_writer(fsync_interval_s=0.01)
    syncs.failures_to_come, syncs.error = 1, error
    write(writer, b"one")
    wait_until(lambda: syncs.by_syncer > 0 and not syncs.failures_to_come)
    writer.seal_if_due()
    assert writer.fsync_failures == 1
    assert suffixes(spool_root) == [SEALED]
    assert write(writer, b"two")
    assert payloads(spool_root, writer.spool_id) == [b"one", b"two"]
    assert not writer.lost


def test_a_sync_that_fails_in_a_flush_ends_the_segment_and_is_counted_but_no_record_is_lost(
    open_writer, syncs, spool_root
):
    writer = open_writer(fsync_interval_s=0)
    syncs.failures_to_come = 1
    assert write(writer, b"one")
    assert writer.fsync_failures == 1
    assert suffixes(spool_root) == [SEALED]
    assert write(writer, b"two")
    assert payloads(spool_root, writer.spool_id) == [b"one", b"two"]
    assert (writer.written_records, writer.lost.total()) == (2, 0)


@pytest.fixture
def lose_names(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, str], list[Path]]:
    """Fails the next calls of sync_directory by that thread; gives its calls that succeed afterwards."""

    def lose(failures: int, thread: str) -> list[Path]:
        left, synced = [refuse(errno.EIO)] * failures, []

        def sync(path: Path) -> None:
            if threading.current_thread().name != thread:
                return
            if left:
                left.pop()()
            synced.append(path)

        monkeypatch.setattr("scanhop.spool.writer.sync_directory", sync)
        return synced

    return lose


def test_a_name_that_could_not_be_made_durable_in_a_flush_is_owed(open_writer, spool_root, lose_names):
    writer = open_writer(fsync_interval_s=0)
    synced = lose_names(3, "MainThread")
    for _ in range(3):
        assert write(writer, b"one")
    assert not synced
    assert write(writer, b"two")
    assert synced == [spool_root / str(writer.spool_id)]
    assert payloads(spool_root, writer.spool_id) == [b"one"] * 3 + [b"two"]


def test_a_name_that_could_not_be_made_durable_is_tried_at_each_interval(open_writer, spool_root, lose_names):
    writer = open_writer(fsync_interval_s=0.01)
    synced = lose_names(3, "spool-sync")
    write(writer, b"one")
    wait_until(lambda: synced == [spool_root / str(writer.spool_id)])
    writer.seal_if_due()
    assert writer.fsync_failures == 3


def test_a_file_that_cannot_be_closed_does_not_end_syncing(open_writer, syncs, monkeypatch):
    writer = open_writer(max_records=1, fsync_interval_s=0.01)
    close, failures = os.close, [errno.EIO]

    def close_badly(fd: int) -> None:
        close(fd)
        if failures and threading.current_thread().name == "spool-sync":
            refuse(failures.pop())()

    monkeypatch.setattr(os, "close", close_badly)
    write(writer, b"one")
    writer.seal_if_due()
    wait_until(lambda: not failures)
    write(writer, b"two")
    before = syncs.by_syncer
    wait_until(lambda: syncs.by_syncer > before)


def test_a_sync_that_fails_between_append_and_flush_loses_no_record(open_writer, syncs, spool_root):
    writer = open_writer()
    write(writer, b"one")
    writer.append(b"two", at_ns=NOON)
    writer._syncer._failures = 1
    writer.seal_if_due()
    assert writer.flush()
    assert payloads(spool_root, writer.spool_id) == [b"one", b"two"]
    assert write(writer, b"three")
    assert payloads(spool_root, writer.spool_id) == [b"one", b"two", b"three"]
    assert writer.written_records == 3


def test_syncing_goes_on_after_descriptors_ran_out(open_writer, syncs, monkeypatch):
    writer = open_writer(fsync_interval_s=0.01)
    with monkeypatch.context() as patch:
        failed = []
        patch.setattr(os, "dup", lambda fd: failed.append(fd) or refuse(errno.EMFILE)())
        write(writer, b"one")
        wait_until(lambda: len(failed) > 0)
    before = syncs.by_syncer
    wait_until(lambda: syncs.by_syncer > before)
    writer.seal_if_due()
    assert writer.fsync_failures


def test_how_much_the_spool_uses_is_not_read_for_every_scan(open_writer, monkeypatch):
    reads = []
    monkeypatch.setattr("scanhop.spool.writer.spool_bytes", lambda root: reads.append(root) or 0)
    writer = open_writer()
    for _ in range(100):
        write(writer, b"one")
    assert len(reads) <= 2


def _mount(path: Path) -> int:
    return subprocess.run(
        ["/bin/mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", path], capture_output=True, check=False
    ).returncode


def test_the_test_clock_stands_in_the_middle_of_a_month():
    assert Clock()() == NOON
    assert time.gmtime(NOON // 10**9)[:4] == (2027, 1, 15, 12)
    assert time.gmtime(END_OF_JANUARY // 10**9)[:4] == (2027, 2, 1, 0)


@pytest.mark.parametrize("fault", [OSError(errno.EMFILE, "too many open files"), FileNotFoundError()])
def test_looking_at_the_disk_never_fails_a_redirect(open_writer, spool_root, monkeypatch, fault):
    def fail(*_: object) -> None:
        raise fault

    writer = open_writer(max_age_s=0)
    monkeypatch.setattr("scanhop.spool.writer.list_segments", fail)
    monkeypatch.setattr("os.statvfs", fail)
    assert write(writer, b"one")
    writer.seal_if_due()
    assert payloads(spool_root, writer.spool_id) == [b"one"]


def test_accepted_batches_that_are_kept_a_while_leave_unknown_codes_their_share(open_writer, spool_root):
    writer = open_writer(max_bytes=1 << 20)
    other = spool_root / "other"
    other.mkdir()
    (other / "00000001.acked").write_bytes(bytes(1 << 19))
    assert write(writer, b"orphan", is_unknown=True)
    assert not writer.lost

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from uuid import uuid4

import pytest
from structlog.testing import capture_logs

from scanhop.spool import SegmentName, SpoolId
from scanhop.spool.claim import Claim, Refusals, claim_directories, list_spools
from scanhop.spool.durable_file import UNFINISHED
from scanhop.spool.segment import ACKED, BATCH, DAMAGED, OPEN, PARKED, READER_LOCK, REJECTED, SEALED, WRITER_LOCK
from tests.unit.spool.conftest import NOON
from tests.unit.spool.crashes import die, payloads, refuse, suffixes

NOTHING_HELD: frozenset[SpoolId] = frozenset()

ENDLESS_WRITER = """
import sys
from pathlib import Path
from scanhop.spool import SpoolLimits, SpoolWriter
writer = SpoolWriter(Path(sys.argv[1]), SpoolLimits(1 << 30, max_records=100, max_age_s=0.001))
number = 0
while True:
    writer.append(b"record %d" % number, at_ns=writer.now_ns())
    assert writer.flush()
    number += 1
    sys.stdout.write(f"{number}\\n")
    sys.stdout.flush()
    writer.seal_if_due()
"""

DYING_WRITER = """
import os, sys
from pathlib import Path
from scanhop.spool import SpoolLimits, SpoolWriter
writer = SpoolWriter(Path(sys.argv[1]), SpoolLimits(1 << 30, max_records=7, max_age_s=3600))
print(writer.spool_id, flush=True)
sys.stdin.readline()
for number in range(300):
    writer.append(b"%s %d" % (str(writer.spool_id).encode(), number), at_ns=writer.now_ns())
    assert writer.flush()
    writer.seal_if_due()
os._exit(0)
"""

EAGER_CLAIMER = """
import sys
from pathlib import Path
from scanhop.spool import read_segment
from scanhop.spool.claim import claim_directories, list_spools
from scanhop.spool.segment import SEALED
root, claims = Path(sys.argv[1]), {}
while list_spools(root):
    claims |= {claim.spool_id: claim for claim in claim_directories(root, frozenset(claims))}
    for claim in list(claims.values()):
        for name in claim.list_waiting()[:1]:
            path = name.path(root, SEALED)
            for _, payload in read_segment(path, name).records:
                print(payload.decode())
            path.unlink()
        if claim.remove_if_finished():
            claims.pop(claim.spool_id).release()
"""

PATIENT_CLAIMER = """
import sys, time
from pathlib import Path
from scanhop.spool.claim import claim_directories
claims = claim_directories(Path(sys.argv[1]), frozenset())
print(len(claims), flush=True)
time.sleep(60)
"""


@pytest.fixture
def writer(open_writer):
    return open_writer(max_age_s=0)


def write(writer, record: bytes = b"one") -> None:
    assert writer.append(record, at_ns=NOON)
    assert writer.flush()


def claim_one(root: Path) -> Claim:
    (claim,) = claim_directories(root, NOTHING_HELD)
    return claim


def empty(claim: Claim) -> None:
    """What ingest does with segments it has finished."""
    for name in claim.list_waiting():
        name.path(claim.root, SEALED).unlink()


def test_two_claimers_exclude_each_other(writer, spool_root):
    claim = claim_one(spool_root)
    assert claim_directories(spool_root, NOTHING_HELD) == []
    claim.release()
    claim_one(spool_root).release()


def test_a_directory_that_one_holds_already_is_not_claimed_again(writer, spool_root):
    claim = claim_one(spool_root)
    assert claim_directories(spool_root, frozenset([claim.spool_id])) == []
    assert claim_directories(spool_root, NOTHING_HELD) == []
    claim.release()


def test_a_claimer_that_is_refused_keeps_no_file_open(writer, spool_root):
    claim = claim_one(spool_root)
    before = os.listdir("/proc/self/fd")  # noqa: PTH208
    claim_directories(spool_root, NOTHING_HELD)
    assert os.listdir("/proc/self/fd") == before  # noqa: PTH208
    claim.release()


def test_a_claim_of_a_killed_process_can_be_had_by_another(writer, spool_root):
    with subprocess.Popen([sys.executable, "-c", PATIENT_CLAIMER, str(spool_root)], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"1\n"
        assert claim_directories(spool_root, NOTHING_HELD) == []
        other.kill()
    claim_one(spool_root).release()


def test_the_open_segment_of_a_living_writer_is_left_alone(writer, spool_root):
    write(writer)
    claim = claim_one(spool_root)
    assert claim.list_waiting() == []
    assert not claim.is_abandoned()
    assert suffixes(spool_root) == [OPEN]
    claim.release()


def test_the_sealed_segments_of_a_living_writer_wait_in_order(writer, spool_root):
    for _ in range(3):
        write(writer)
        writer.seal_if_due()
    write(writer)
    claim = claim_one(spool_root)
    assert [name.number for name in claim.list_waiting()] == [1, 2, 3]
    claim.release()


def test_a_frozen_batch_waits_once_with_its_segment_and_also_without_it(writer, spool_root):
    write(writer)
    writer.seal_if_due()
    for number in (1, 2):
        SegmentName(writer.spool_id, number).path(spool_root, BATCH).write_bytes(b"frozen")
    claim = claim_one(spool_root)
    assert [name.number for name in claim.list_waiting()] == [1, 2]
    claim.release()


def test_looking_whether_a_writer_lives_does_not_disturb_it(writer, spool_root):
    claim = claim_one(spool_root)
    for _ in range(3):
        assert not claim.is_abandoned()
    write(writer)
    writer.seal_if_due()
    assert suffixes(spool_root) == [SEALED]
    claim.release()


def test_the_open_segment_of_a_dead_writer_is_sealed_by_its_claimer(writer, spool_root):
    write(writer)
    writer.seal_if_due()
    write(writer, b"two")
    die(writer)
    claim = claim_one(spool_root)
    assert [name.number for name in claim.list_waiting()] == [1, 2]
    assert suffixes(spool_root) == [SEALED, SEALED]
    assert payloads(spool_root, claim.spool_id) == [b"one", b"two"]
    claim.release()


def test_several_open_segments_of_a_dead_writer_are_all_sealed(writer, spool_root):
    write(writer)
    die(writer)
    SegmentName(writer.spool_id, 2).path(spool_root, OPEN).write_bytes(b"torn")
    claim = claim_one(spool_root)
    assert [name.number for name in claim.list_waiting()] == [1, 2]
    claim.release()


def test_a_closed_writer_is_a_dead_one(writer, spool_root):
    write(writer)
    writer.close()
    claim = claim_one(spool_root)
    assert claim.is_abandoned()
    claim.release()


def test_a_directory_without_a_writers_lock_is_abandoned(spool_root):
    (spool_root / str(uuid4())).mkdir()
    claim = claim_one(spool_root)
    assert claim.is_abandoned()
    assert claim.remove_if_finished()
    claim.release()
    assert list(spool_root.iterdir()) == []


def test_the_directory_of_a_dead_writer_goes_when_nothing_is_left_in_it(writer, spool_root):
    write(writer)
    die(writer)
    claim = claim_one(spool_root)
    assert not claim.remove_if_finished()
    empty(claim)
    assert claim.remove_if_finished()
    claim.release()
    assert list(spool_root.iterdir()) == []


def test_the_directory_of_a_living_writer_stays_however_empty_it_is(writer, spool_root):
    claim = claim_one(spool_root)
    assert not claim.remove_if_finished()
    assert [path.name for path in spool_root.iterdir()] == [str(writer.spool_id)]
    claim.release()


@pytest.mark.parametrize("suffix", [OPEN, SEALED, BATCH, ACKED, PARKED, DAMAGED, REJECTED, ".anything"])
def test_a_directory_is_never_removed_while_something_is_in_it(writer, spool_root, suffix):
    die(writer)
    file = SegmentName(writer.spool_id, 1).path(spool_root, suffix)
    file.write_bytes(b"something")
    claim = claim_one(spool_root)
    assert not claim.remove_if_finished()
    assert file.exists()
    claim.release()


def test_the_half_of_a_file_whose_segment_is_gone_keeps_no_directory(writer, spool_root):
    die(writer)
    SegmentName(writer.spool_id, 1).path(spool_root, UNFINISHED).write_bytes(b"half")
    claim = claim_one(spool_root)
    assert claim.remove_if_finished()
    claim.release()
    assert list(spool_root.iterdir()) == []


def test_a_directory_that_somebody_else_removed_is_finished(writer, spool_root):
    die(writer)
    claim = claim_one(spool_root)
    for path in (spool_root / str(claim.spool_id)).iterdir():
        path.unlink()
    (spool_root / str(claim.spool_id)).rmdir()
    assert claim.list_waiting() == []
    assert claim.remove_if_finished()
    claim.release()


def test_a_claim_on_a_lock_that_was_removed_meanwhile_is_none(writer, spool_root, monkeypatch):
    die(writer)
    os_open = os.open

    def open_and_lose(path: Path, *arguments: int) -> int:
        fd = os_open(path, *arguments)
        if Path(path).name == READER_LOCK:
            Path(path).unlink()
        return fd

    monkeypatch.setattr(os, "open", open_and_lose)
    before = os.listdir("/proc/self/fd")  # noqa: PTH208
    assert claim_directories(spool_root, NOTHING_HELD) == []
    assert os.listdir("/proc/self/fd") == before  # noqa: PTH208


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO, errno.EACCES])
def test_a_directory_that_cannot_be_claimed_holds_up_no_other(open_writer, spool_root, clock, monkeypatch, error):
    first = open_writer().spool_id
    clock.ns += 10**9
    second = open_writer().spool_id
    os_open = os.open

    def open_the_second(path: Path, *arguments: int) -> int:
        return refuse(error)() if str(first) in str(path) else os_open(path, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", open_the_second)
        claims = claim_directories(spool_root, NOTHING_HELD)
    assert [claim.spool_id for claim in claims] == [second]
    claims += claim_directories(spool_root, frozenset([second]))
    assert [claim.spool_id for claim in claims] == [second, first]
    for claim in claims:
        claim.release()


def test_a_directory_that_cannot_be_claimed_is_told_once_for_each_reason(writer, spool_root, monkeypatch):
    refusals, os_open, reasons = Refusals(), os.open, [errno.EACCES, errno.EACCES, errno.EIO, errno.EIO, 0, errno.EIO]

    def open_by_the_reason(path: Path, *arguments: int) -> int:
        return refuse(reason)() if reason else os_open(path, *arguments)

    told = []
    for reason in reasons:
        with monkeypatch.context() as patch, capture_logs() as lines:
            patch.setattr(os, "open", open_by_the_reason)
            claims = claim_directories(spool_root, NOTHING_HELD, refusals)
        assert len(claims) == (not reason)
        for claim in claims:
            claim.release()
        told.append([line["event"] for line in lines])
    refused, again = ["spool_not_claimed"], ["spool_not_refused_any_more"]
    assert told == [refused, [], refused, [], again, refused]


def test_a_segment_that_the_disk_does_not_let_be_sealed_holds_up_no_other(writer, spool_root, monkeypatch):
    write(writer)
    writer.seal_if_due()
    write(writer)
    die(writer)
    claim = claim_one(spool_root)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", refuse(errno.ENOSPC))
        assert [name.number for name in claim.list_waiting()] == [1]
    assert [name.number for name in claim.list_waiting()] == [1, 2]
    claim.release()


def test_half_made_directories_and_strange_names_are_not_looked_at(spool_root):
    (spool_root / f".{uuid4()}.new").mkdir()
    (spool_root / "lost+found").mkdir()
    (spool_root / str(uuid4()).upper()).mkdir()
    (spool_root / uuid4().hex).mkdir()
    (spool_root / str(uuid4())).touch()
    assert list_spools(spool_root) == []
    assert claim_directories(spool_root, NOTHING_HELD) == []


def test_a_root_that_is_not_there_holds_no_spools(tmp_path):
    assert list_spools(tmp_path / "none") == []


def test_spools_are_listed_oldest_first(open_writer, spool_root, clock):
    made = []
    for _ in range(3):
        made.append(open_writer().spool_id)
        clock.ns += 10**9
    assert list_spools(spool_root) == made


def test_a_new_directory_is_never_seen_without_its_lock_held(spool_root, open_writer, monkeypatch):
    seen = []
    rename = Path.rename

    def rename_and_look(path: Path, target: Path) -> Path:
        seen.extend(claim_directories(spool_root, NOTHING_HELD))
        moved = rename(path, target)
        claim = claim_one(spool_root)
        seen.append(claim.is_abandoned())
        claim.release()
        return moved

    monkeypatch.setattr(Path, "rename", rename_and_look)
    open_writer()
    assert seen == [False]


def test_files_of_a_claim_are_for_the_owner_alone(writer, spool_root):
    claim = claim_one(spool_root)
    lock = claim.directory / READER_LOCK
    assert lock.stat().st_mode & 0o777 == 0o600
    assert (claim.directory / WRITER_LOCK).stat().st_mode & 0o777 == 0o600
    claim.release()


def test_a_writer_killed_with_sigkill_loses_no_flushed_record(spool_root):
    with subprocess.Popen([sys.executable, "-c", ENDLESS_WRITER, str(spool_root)], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        time.sleep(0.3)
        child.send_signal(signal.SIGKILL)
        promised = 1 + len(child.stdout.read().splitlines())
    claim = claim_one(spool_root)
    assert claim.is_abandoned()
    claim.list_waiting()
    found = payloads(spool_root, claim.spool_id)
    assert found == [b"record %d" % number for number in range(len(found))]
    assert promised <= len(found) <= promised + 1
    empty(claim)
    assert claim.remove_if_finished()
    claim.release()


def test_several_processes_that_claim_at_once_take_each_record_of_several_dying_writers_once(spool_root):
    def start(script: str) -> "subprocess.Popen[str]":
        argv = [sys.executable, "-c", script, str(spool_root)]
        return subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    writers = [start(DYING_WRITER) for _ in range(3)]
    spool_ids = [writer.stdout.readline().strip() for writer in writers]
    claimers = [start(EAGER_CLAIMER) for _ in range(3)]
    for writer in writers:
        writer.communicate("go\n", timeout=60)
    taken = [line for claimer in claimers for line in claimer.communicate(timeout=60)[0].splitlines()]
    assert sorted(taken) == sorted(f"{spool_id} {number}" for spool_id in spool_ids for number in range(300))
    assert [process.returncode for process in (*writers, *claimers)] == [0] * 6

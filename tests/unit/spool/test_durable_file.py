import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from scanhop.spool.durable_file import make_directory_durably, write_durably
from tests.unit.spool.crashes import refuse


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "00000001.batch"


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files and directories that were fsynced, by name."""
    names: list[str] = []
    fsync = os.fsync

    def record(fd: int) -> None:
        names.append(Path(f"/proc/self/fd/{fd}").readlink().name)
        fsync(fd)

    monkeypatch.setattr(os, "fsync", record)
    return names


# In a process of its own: the limit is of all files that a process writes, its log among them.
WRITE_WITH_4_KIB = """
import resource, signal, sys
from pathlib import Path
from scanhop.spool.durable_file import write_durably
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
write_durably(Path(sys.argv[1]), bytes(10_000))
"""


def nth(number: int, error: int, call: Callable[[int], None]) -> Callable[[int], None]:
    """`call`, but its n-th time fails."""
    calls = iter(range(1, 1000))
    return lambda fd: refuse(error)() if next(calls) == number else call(fd)


def test_the_file_is_whole_and_for_its_owner_alone(file):
    write_durably(file, b"frozen")
    assert file.read_bytes() == b"frozen"
    assert file.stat().st_mode & 0o777 == 0o600
    assert list(file.parent.iterdir()) == [file]


def test_the_bytes_are_durable_before_the_name_and_the_name_before_it_returns(file, synced):
    write_durably(file, b"frozen")
    assert synced == ["00000001.tmp", file.parent.name]


def test_a_disk_that_takes_a_part_is_left_without_it(file):
    argv = [sys.executable, "-c", WRITE_WITH_4_KIB, str(file)]
    run = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert "OSError: [Errno 27] File too large" in run.stderr
    assert list(file.parent.iterdir()) == []


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC])
@pytest.mark.parametrize("number", [1, 2], ids=["of the file", "of its directory"])
def test_a_failed_sync_leaves_nothing(file, monkeypatch, number, error):
    monkeypatch.setattr(os, "fsync", nth(number, error, os.fsync))
    with pytest.raises(OSError, match=os.strerror(error)):
        write_durably(file, b"frozen")
    assert list(file.parent.iterdir()) == []


def test_a_failed_rename_leaves_nothing(file, monkeypatch):
    monkeypatch.setattr(Path, "rename", refuse(errno.EIO))
    with pytest.raises(OSError, match="Input/output"):
        write_durably(file, b"frozen")
    assert list(file.parent.iterdir()) == []


def test_a_half_that_a_killed_process_left_is_written_over(file):
    file.with_suffix(".tmp").write_bytes(bytes(100))
    write_durably(file, b"frozen")
    assert list(file.parent.iterdir()) == [file]
    assert file.read_bytes() == b"frozen"


def test_a_directory_is_durable_with_all_the_parents_that_were_made_for_it(tmp_path, synced):
    make_directory_durably(tmp_path / "a" / "b" / "spool", 0o700)
    assert synced == [tmp_path.name, "a", "b"]


def test_a_directory_that_is_there_is_left_as_it_is(tmp_path, synced):
    make_directory_durably(tmp_path)
    assert synced == []


@pytest.mark.parametrize("failing", [1, 2])
def test_a_file_that_is_to_be_replaced_is_never_gone(file, monkeypatch, failing):
    """The first sync is of the bytes, the second of the name."""
    write_durably(file, b"before")
    monkeypatch.setattr(os, "fsync", nth(failing, errno.EIO, os.fsync))
    with pytest.raises(OSError, match="Input/output"):
        write_durably(file, b"after")
    assert file.read_bytes() == (b"before" if failing == 1 else b"after")
    assert list(file.parent.iterdir()) == [file]

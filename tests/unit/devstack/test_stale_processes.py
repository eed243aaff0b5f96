"""Ending what a killed run left behind, and nothing else."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from scanhop.devstack.directory_lock import DirectoryLock
from scanhop.devstack.failure import StackFailed
from scanhop.devstack.ports import reserve_port
from scanhop.devstack.stale_process import command_line, end_stale_process


@pytest.fixture
def sleeper() -> Iterator["subprocess.Popen[bytes]"]:
    code = "import time; print(flush=True); time.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", code, "engine-of-a-test"], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()  # right after its start a process has no command line yet
    yield process
    process.stdout.close()
    process.kill()
    process.wait()


def test_engine_left_behind_is_ended(sleeper: "subprocess.Popen[bytes]", tmp_path: Path) -> None:
    pid_file = tmp_path / "engine.pid"
    pid_file.write_text(f"{sleeper.pid}\nmore\n")
    end_stale_process(pid_file, lambda pid: "engine-of-a-test" in command_line(pid), signal.SIGTERM)
    assert sleeper.wait(5) == -signal.SIGTERM
    assert not pid_file.exists()


def test_process_that_took_over_the_pid_is_left_alone(sleeper: "subprocess.Popen[bytes]", tmp_path: Path) -> None:
    pid_file = tmp_path / "engine.pid"
    pid_file.write_text(f"{sleeper.pid}\n")
    end_stale_process(pid_file, lambda pid: "another-engine" in command_line(pid), signal.SIGTERM)
    assert sleeper.poll() is None
    assert not pid_file.exists()


@pytest.mark.parametrize("content", ["", "no number", "-1", "999999999"])
def test_pid_file_without_a_process_is_removed(content: str, tmp_path: Path) -> None:
    pid_file = tmp_path / "engine.pid"
    pid_file.write_text(content)
    end_stale_process(pid_file, lambda pid: bool(command_line(pid)), signal.SIGTERM)
    assert not pid_file.exists()


def test_directory_is_locked_by_one_and_free_after_release(tmp_path: Path) -> None:
    first, second = DirectoryLock(tmp_path / "lock"), DirectoryLock(tmp_path / "lock")
    first.acquire()
    with pytest.raises(StackFailed, match=str(os.getpid())):
        second.acquire()
    first.release()
    second.acquire()
    second.release()


def test_reserved_ports_differ() -> None:
    ports = [reserve_port() for _ in range(50)]
    assert len({port.number for port in ports}) == 50
    for port in ports:
        port.release()

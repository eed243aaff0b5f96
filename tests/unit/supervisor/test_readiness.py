import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from scanhop.supervisor import ChildFailed, ChildProcess, ProcessSpec, tell_ready
from scanhop.supervisor.readiness import VARIABLE

TELL = f"echo > /proc/self/fd/${VARIABLE}"
TELLING = "import time; from scanhop.supervisor import tell_ready; tell_ready(); tell_ready(); time.sleep(60)"


@pytest.fixture
def start() -> Iterator[Callable[..., ChildProcess]]:
    """Starts a shell with a script, which must tell that it is ready. Killed when the test ends."""
    started: list[ChildProcess] = []

    def start_one(script: str, **fields: object) -> ChildProcess:
        child = ChildProcess(ProcessSpec("child", ["/bin/sh", "-c", script], tells_ready=True, **fields))
        started.append(child)
        return child

    yield start_one
    for child in started:
        child.signal(signal.SIGKILL)
        child.wait_stopped()


def descriptors() -> list[str]:
    return os.listdir("/proc/self/fd")  # noqa: PTH208


def test_a_child_is_ready_when_it_has_told_so(start, tmp_path):
    flag = tmp_path / "flag"
    child = start(f"while ! test -e {flag}; do sleep 0.01; done; {TELL}; sleep 60")
    assert not child.is_ready()
    flag.touch()
    child.wait_ready()
    assert child.is_ready()


def test_a_python_child_tells_by_one_call_and_may_call_it_twice():
    child = ChildProcess(ProcessSpec("python", [sys.executable, "-c", TELLING], tells_ready=True))
    try:
        child.wait_ready()
    finally:
        child.ask_to_stop()
        child.wait_stopped()


def test_telling_is_not_enough_where_a_probe_is_set(start, tmp_path):
    flag = tmp_path / "flag"
    child = start(f"{TELL}; sleep 60", is_ready=flag.exists)
    time.sleep(0.1)
    assert not child.is_ready()
    flag.touch()
    assert child.is_ready()


def test_a_child_that_ends_without_telling_has_failed(start):
    with pytest.raises(ChildFailed, match="ended with code 3 before it was ready"):
        start("exit 3").wait_ready()


def test_a_child_that_hands_the_pipe_back_without_telling_is_late(start):
    closing = f"exec {sys.executable} -c 'import os, time; os.close(int(os.environ[\"{VARIABLE}\"])); time.sleep(60)'"
    with pytest.raises(ChildFailed, match="was not ready after"):
        start(closing, ready_timeout_s=0.5).wait_ready()


def test_the_environment_that_was_given_is_kept_beside_the_pipe(start, tmp_path):
    log = tmp_path / "log"
    start(f"echo $GIVEN; {TELL}", env={"GIVEN": "a", "PATH": os.environ["PATH"]}, log_path=log).wait_stopped()
    assert log.read_text() == "a\n"


@pytest.mark.parametrize("script", [f"{TELL}; sleep 60", "exit 1", "sleep 60"], ids=["told", "died", "silent"])
def test_no_descriptor_is_left_behind(start, script):
    before = descriptors()
    child = start(script)
    if "exit" in script:
        while child.exit_code() is None:
            time.sleep(0.01)
    else:
        child.ask_to_stop()
        child.wait_stopped()
    assert descriptors() == before


def test_no_descriptor_is_left_behind_of_a_program_that_is_not_there():
    before = descriptors()
    with pytest.raises(ChildFailed):
        ChildProcess(ProcessSpec("missing", ["/nonexistent/program"], tells_ready=True))
    assert descriptors() == before


def test_telling_nobody_does_nothing(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    tell_ready()


def test_telling_a_supervisor_that_has_died_does_nothing(monkeypatch):
    read_fd, write_fd = os.pipe()
    os.close(read_fd)
    monkeypatch.setenv(VARIABLE, str(write_fd))
    tell_ready()
    assert VARIABLE not in os.environ
    os.close(write_fd)


def test_the_pipe_is_not_for_others(start, tmp_path: Path):
    start("sleep 60")
    log = tmp_path / "log"
    other = ChildProcess(ProcessSpec("other", ["/bin/sh", "-c", "ls /proc/$$/fd"], log_path=log))
    other.wait_stopped()
    assert set(log.read_text().split()) <= {"0", "1", "2", "3"}

import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from scanhop.supervisor import ChildFailed, ChildProcess, ProcessSpec

NOBODY = 65534

PARENT = """
import sys, time
from scanhop.supervisor import ChildProcess, ProcessSpec
fields = eval(sys.argv[1])
child = ChildProcess(ProcessSpec("child", ["/bin/sh", "-c", sys.argv[2]], **fields))
print(child.pid, flush=True)
time.sleep(60)
"""


@pytest.fixture
def start() -> Iterator[Callable[..., ChildProcess]]:
    """Starts a shell with a script; keywords are fields of ProcessSpec. Killed when the test ends."""
    started: list[ChildProcess] = []

    def start_one(script: str, **fields: object) -> ChildProcess:
        child = ChildProcess(ProcessSpec("child", ["/bin/sh", "-c", script], **fields))
        started.append(child)
        return child

    yield start_one
    for child in started:
        child.signal(signal.SIGKILL)
        child.wait_stopped()


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def output_of(start: Callable[..., ChildProcess], log: Path, script: str, **fields: object) -> str:
    assert start(script, log_path=log, **fields).wait_stopped() == 0
    return log.read_text()


# --- how it starts ---


def test_a_child_without_a_probe_is_ready_when_it_runs(start):
    start("sleep 60").wait_ready()


def test_a_child_is_ready_when_its_probe_says_so(start, tmp_path):
    flag = tmp_path / "ready"
    child = start(f"sleep 0.05; touch {flag}; sleep 60", is_ready=flag.exists)
    assert not child.is_ready()
    child.wait_ready()
    assert flag.exists()


def test_a_child_that_ends_before_it_is_ready_fails_with_the_end_of_its_log(start, tmp_path):
    log = tmp_path / "log"
    script = "for n in 1 2 3 4 5 6 7 8 9; do echo line $n; done; echo reason >&2; exit 3"
    child = start(script, is_ready=lambda: False, log_path=log)
    with pytest.raises(ChildFailed) as caught:
        child.wait_ready()
    assert str(caught.value).startswith("child ended with code 3 before it was ready; its log ends with:")
    assert str(caught.value).endswith("  reason")
    assert "line 3" in str(caught.value)
    assert "line 2\n" not in str(caught.value)


def test_a_child_that_ends_before_it_is_ready_fails_without_a_log_too(start):
    child = start("exit 0", is_ready=lambda: False)
    with pytest.raises(ChildFailed, match=r"ended with code 0 before it was ready$"):
        child.wait_ready()


def test_a_child_that_takes_too_long_fails(start, tmp_path):
    log = tmp_path / "log"

    def is_ready() -> bool:
        while not log.read_bytes():
            time.sleep(0.01)
        return False

    child = start("echo starting; sleep 60", is_ready=is_ready, ready_timeout_s=0.2, log_path=log)
    with pytest.raises(ChildFailed, match=r"child was not ready after .* s; its log ends with:\n  starting"):
        child.wait_ready()


def test_a_log_that_is_no_text_can_be_shown(start, tmp_path):
    child = start(r"printf '\377\376'; exit 1", is_ready=lambda: False, log_path=tmp_path / "log")
    with pytest.raises(ChildFailed, match="log ends with"):
        child.wait_ready()


def test_a_program_that_is_not_there_is_a_failed_child():
    with pytest.raises(ChildFailed, match=r"missing.*No such file"):
        ChildProcess(ProcessSpec("missing", ["/nonexistent/program"]))


def test_a_program_that_may_not_be_run_is_a_failed_child(tmp_path):
    program = tmp_path / "program"
    program.touch(mode=0o600)
    with pytest.raises(ChildFailed, match=r"forbidden.*Permission denied"):
        ChildProcess(ProcessSpec("forbidden", [str(program)]))


# --- what it has ---


def test_a_child_has_the_environment_that_it_is_given_and_no_other(start, tmp_path, monkeypatch):
    monkeypatch.setenv("SECRET", "hunter2")
    assert output_of(start, tmp_path / "log", "echo $SECRET-$GIVEN", env={"GIVEN": "a"}) == "-a\n"


def test_a_child_inherits_the_environment_otherwise(start, tmp_path, monkeypatch):
    monkeypatch.setenv("SECRET", "hunter2")
    assert output_of(start, tmp_path / "log", "echo $SECRET") == "hunter2\n"


def test_a_child_runs_in_its_folder(start, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    assert output_of(start, tmp_path / "log", "pwd", cwd=folder) == f"{folder}\n"


def test_a_child_reads_nothing(start, tmp_path):
    assert output_of(start, tmp_path / "log", "cat; echo end") == "end\n"


def test_output_and_errors_are_appended_to_the_log(start, tmp_path):
    log = tmp_path / "log"
    log.write_text("before\n")
    assert output_of(start, log, "echo out; echo err >&2") == "before\nout\nerr\n"


def test_a_new_log_is_for_its_owner_alone(start, tmp_path):
    log = tmp_path / "log"
    output_of(start, log, "true")
    assert stat.S_IMODE(log.stat().st_mode) == 0o600


def test_only_descriptors_that_are_passed_are_inherited(start, tmp_path):
    passed, kept = os.open(tmp_path, os.O_RDONLY), os.open(tmp_path, os.O_RDONLY)
    os.set_inheritable(kept, True)
    found = output_of(start, tmp_path / "log", "ls /proc/$$/fd", pass_fds=[passed]).split()
    os.close(passed)
    os.close(kept)
    assert str(passed) in found
    assert str(kept) not in found


def test_starting_a_child_leaves_no_descriptor_behind(start, tmp_path):
    before = os.listdir("/proc/self/fd")  # noqa: PTH208
    start("true", log_path=tmp_path / "log").wait_stopped()
    assert os.listdir("/proc/self/fd") == before  # noqa: PTH208


def test_a_child_has_a_session_of_its_own_so_that_ctrl_c_does_not_reach_it(start):
    child = start("sleep 60")
    assert os.getsid(child.pid) == os.getpgid(child.pid) == child.pid
    assert os.getsid(0) != child.pid


def test_a_child_blocks_no_signal_though_its_parent_does(start, tmp_path):
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGUSR1})
    try:
        status = output_of(start, tmp_path / "log", "exec cat /proc/self/status")
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    assert "SigBlk:\t0000000000000000" in status


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can run a child as somebody else")
def test_a_child_runs_as_the_user_it_is_given_without_other_groups(start, tmp_path):
    found = output_of(start, tmp_path / "log", "id -u; id -g; id -G", user=NOBODY, group=NOBODY)
    assert found.split() == [str(NOBODY)] * 3


# --- how it ends ---


def test_a_child_that_runs_has_no_exit_code(start):
    assert start("sleep 60").exit_code() is None


@pytest.mark.parametrize(("script", "code"), [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", -9)])
def test_the_exit_code_says_how_a_child_ended(start, script, code):
    assert start(script).wait_stopped() == code


def test_a_child_is_asked_to_stop_with_its_own_signal(start, tmp_path):
    flag = tmp_path / "ready"
    script = f"trap 'exit 5' INT; touch {flag}; while :; do sleep 0.01; done"
    child = start(script, stop_signal=signal.SIGINT)
    wait_until(flag.exists)
    child.ask_to_stop()
    assert child.wait_stopped() == 5


def test_a_child_that_does_not_stop_in_time_is_killed(start, tmp_path):
    flag = tmp_path / "ready"
    child = start(f"trap '' TERM; touch {flag}; while :; do sleep 0.01; done", stop_timeout_s=0.1)
    wait_until(flag.exists)
    child.ask_to_stop()
    assert child.wait_stopped() == -signal.SIGKILL


def test_a_frozen_child_is_killed(start, tmp_path):
    flag = tmp_path / "ready"
    child = start(f"trap 'exit 0' TERM; touch {flag}; while :; do sleep 0.01; done", stop_timeout_s=0.1)
    wait_until(flag.exists)
    child.signal(signal.SIGSTOP)
    child.ask_to_stop()
    assert child.wait_stopped() == -signal.SIGKILL


def test_a_child_that_has_ended_can_be_signalled_without_harm(start):
    child = start("true")
    child.wait_stopped()
    child.signal(signal.SIGTERM)
    child.ask_to_stop()
    assert child.wait_stopped() == 0


PRIVILEGED = pytest.param(
    f"dict(user={NOBODY}, group={NOBODY})",
    "exec sleep 60",
    marks=pytest.mark.skipif(os.geteuid() != 0, reason="only root can run a child as somebody else"),
)


@pytest.mark.parametrize(
    ("fields", "script"),
    [
        ("{}", "exec sleep 60"),
        ("dict(death_signal=9)", "trap '' TERM; while :; do sleep 0.05; done"),
        PRIVILEGED,
    ],
    ids=["asked", "killed", "of another user"],
)
def test_a_child_dies_when_its_parent_is_killed(fields, script):
    with subprocess.Popen([sys.executable, "-c", PARENT, fields, script], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        wait_until(lambda: is_running(pid))
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        wait_until(lambda: not is_running(pid))

"""Engines that a killed run left behind.

A pid file alone proves nothing, as pids are used again: a process is ended only when its command line, too, is the
engine's on that very directory. The caller holds the directory's lock, so a live stack's engines never get here.
"""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from scanhop.devstack.failure import StackFailed

GRACE_S = 8.0
KILL_GRACE_S = 5.0
POLL_S = 0.02


def end_stale_process(pid_file: Path, is_engine: Callable[[int], bool], stop_signal: signal.Signals) -> None:
    """End the process that `pid_file` names if `is_engine` knows it, and remove the file.

    Raises StackFailed when it cannot be ended.
    """
    pid = _find_pid(pid_file)
    if pid is not None and is_engine(pid) and not _ended(pid, is_engine, stop_signal):
        raise StackFailed(f"process {pid}, left behind by a killed run, cannot be ended; end it and try again")
    pid_file.unlink(missing_ok=True)


def command_line(pid: int) -> list[str]:
    """The arguments of a running process; empty when there is none (or a zombie)."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").rstrip("\0").split("\0")
    except OSError:
        return []


def working_directory(pid: int) -> Path | None:
    """None when the process is gone or not ours to look at."""
    try:
        return Path(f"/proc/{pid}/cwd").readlink()
    except OSError:
        return None


def _find_pid(pid_file: Path) -> int | None:
    try:
        first_line = pid_file.read_text(errors="replace").partition("\n")[0].strip()
    except OSError:
        return None
    return int(first_line) if first_line.isascii() and first_line.isdigit() else None


def _ended(pid: int, is_engine: Callable[[int], bool], stop_signal: signal.Signals) -> bool:
    for number, grace in ((stop_signal, GRACE_S), (signal.SIGKILL, KILL_GRACE_S)):
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return True
        except PermissionError:
            return False
        deadline = time.monotonic() + grace
        while time.monotonic() < deadline:
            if not is_engine(pid):
                return True
            time.sleep(POLL_S)
    return False

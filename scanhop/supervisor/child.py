"""One child process: how it is described, started, probed and stopped."""

import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from scanhop.supervisor.readiness import VARIABLE as READY_VARIABLE
from scanhop.supervisor.readiness import Readiness

PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


class AskedToStop(Exception):
    """Whoever waits for a child was asked to stop meanwhile."""


class ChildFailed(Exception):
    """A child could not be started, ended, or did not become ready in time; the message says which and why."""


def never() -> bool:
    return False


@dataclass(frozen=True)
class ProcessSpec:
    """What to run. `is_ready` is polled until true; without it a started process counts as ready. With `tells_ready`
    it must call `tell_ready()` too.

    `log_path`: stdout and stderr go there; without it they are inherited. `user`/`group`: numeric ids to run as.
    `death_signal`: what the kernel sends when the parent dies.
    """

    name: str
    argv: Sequence[str]
    env: Mapping[str, str] | None = None
    cwd: Path | None = None
    is_ready: Callable[[], bool] | None = None
    tells_ready: bool = False
    ready_timeout_s: float = 30.0
    stop_signal: signal.Signals = signal.SIGTERM
    stop_timeout_s: float = 15.0
    death_signal: signal.Signals = signal.SIGTERM
    user: int | None = None
    group: int | None = None
    log_path: Path | None = None
    pass_fds: Sequence[int] = field(default=())


class ChildProcess:
    """A running process of a `ProcessSpec`."""

    def __init__(self, spec: ProcessSpec) -> None:
        """Raises ChildFailed when it cannot be started."""
        self.spec = spec
        self.started_at = time.monotonic()
        self._asked_to_stop_at: float | None = None
        self._readiness = Readiness() if spec.tells_ready else None
        try:
            self._popen = _spawn(spec, self._readiness)
        except (OSError, subprocess.SubprocessError) as error:
            self._close_readiness()
            raise ChildFailed(f"{spec.name} could not be started: {error}") from error
        finally:
            if self._readiness is not None:
                os.close(self._readiness.write_fd)

    @property
    def pid(self) -> int:
        return self._popen.pid

    def exit_code(self) -> int | None:
        """The exit code (negative: the signal that ended it), or None while it runs."""
        code = self._popen.poll()
        if code is not None:
            self._close_readiness()
        return code

    def is_ready(self) -> bool:
        """Raises ChildFailed when it has ended instead."""
        code = self.exit_code()
        if code is not None:
            raise ChildFailed(f"{self.spec.name} ended with code {code} before it was ready{self._log_tail()}")
        if self._readiness is not None and not self._readiness.is_told():
            return False
        return self.spec.is_ready is None or self.spec.is_ready()

    def fail_if_late(self) -> None:
        """Of a child that is not ready. Raises ChildFailed."""
        if time.monotonic() > self.started_at + self.spec.ready_timeout_s:
            raise ChildFailed(
                f"{self.spec.name} was not ready after {self.spec.ready_timeout_s:.0f} s{self._log_tail()}"
            )

    def wait_ready(self, should_stop: Callable[[], bool] = never) -> None:
        """Raises ChildFailed, or AskedToStop."""
        while not self.is_ready():
            if should_stop():
                raise AskedToStop
            self.fail_if_late()
            time.sleep(0.02)

    def signal(self, number: signal.Signals) -> None:
        if self.exit_code() is None:
            self._popen.send_signal(number)

    def ask_to_stop(self) -> None:
        """Once; asking again changes nothing."""
        if self._asked_to_stop_at is None:
            self._asked_to_stop_at = time.monotonic()
            self.signal(self.spec.stop_signal)

    def end_if_overdue(self) -> int | None:
        """The exit code of a child that was asked to stop, or None; one that outlived its time-out is killed."""
        code = self.exit_code()
        if code is None and self._stop_time_left() <= 0:
            self._popen.kill()
        return code

    def wait_stopped(self) -> int:
        """Wait for the stop time-out, which began when it was asked to stop; then kill. Returns the exit code."""
        try:
            return self._popen.wait(max(0.0, self._stop_time_left()))
        except subprocess.TimeoutExpired:
            self._popen.kill()
            return self._popen.wait()
        finally:
            self._close_readiness()

    def _stop_time_left(self) -> float:
        asked_at = time.monotonic() if self._asked_to_stop_at is None else self._asked_to_stop_at
        return asked_at + self.spec.stop_timeout_s - time.monotonic()

    def _close_readiness(self) -> None:
        if self._readiness is not None:
            self._readiness.close()

    def _log_tail(self) -> str:
        if self.spec.log_path is None or not self.spec.log_path.exists():
            return ""
        lines = self.spec.log_path.read_text(errors="replace").splitlines()[-8:]
        return "; its log ends with:\n  " + "\n  ".join(lines)


def _spawn(spec: ProcessSpec, readiness: Readiness | None) -> "subprocess.Popen[bytes]":
    parent = os.getpid()
    env = None if spec.env is None else dict(spec.env)
    fds = tuple(spec.pass_fds)
    if readiness is not None:
        env = {**(os.environ if env is None else env), READY_VARIABLE: str(readiness.write_fd)}
        fds += (readiness.write_fd,)

    def in_child() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, set())
        _libc.prctl(PR_SET_PDEATHSIG, int(spec.death_signal), 0, 0, 0)
        if os.getppid() != parent:  # the parent died before the line above
            os._exit(1)

    with _log_file(spec.log_path) as log:
        return subprocess.Popen(
            list(spec.argv),
            env=env,
            cwd=spec.cwd,
            stdin=subprocess.DEVNULL,
            stdout=log.fd,
            stderr=log.fd,
            user=spec.user,
            group=spec.group,
            extra_groups=None if spec.user is None else [],
            pass_fds=fds,
            start_new_session=True,
            preexec_fn=in_child,  # noqa: PLW1509 - the parent has one thread
        )


class _log_file:  # noqa: N801 - used as a context manager
    def __init__(self, path: Path | None) -> None:
        self.fd = None if path is None else os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def __enter__(self) -> "_log_file":
        return self

    def __exit__(self, *_: object) -> None:
        if self.fd is not None:
            os.close(self.fd)

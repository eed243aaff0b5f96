"""A group of child processes, started in stages and kept running."""

import signal
import time
from collections.abc import Callable, Sequence

from scanhop.supervisor.child import ChildFailed, ChildProcess, ProcessSpec, never
from scanhop.supervisor.rolling_restart import OnEvent, RollingRestart

RESTART_PAUSE_S = (0.1, 0.5, 1.0, 2.0, 5.0)
SETTLED_AFTER_S = 30.0
WATCH_INTERVAL_S = 0.1


class Supervisor:
    """Starts stages of processes, restarts one that dies, stops all in reverse order.

    `on_event(event, process, facts)` is told of starts, deaths, restarts and replacements. A signal handler must not
    raise: an exception in the middle of a wait would leave its lock taken. It sets what `should_stop` reads.
    """

    def __init__(self, on_event: OnEvent) -> None:
        self._on_event = on_event
        self._children: list[ChildProcess] = []
        self._restart_at: dict[str, float] = {}
        self._failures: dict[str, int] = {}
        self._rolling = RollingRestart(self._children, on_event)

    @property
    def children(self) -> Sequence[ChildProcess]:
        return tuple(self._children)

    def start(self, specs: Sequence[ProcessSpec], should_stop: Callable[[], bool] = never) -> None:
        """Start `specs` together and wait until each is ready. Raises ChildFailed, or AskedToStop."""
        started = []
        for spec in specs:
            child = ChildProcess(spec)
            self._children.append(child)
            started.append(child)
            self._on_event("process_started", spec.name, {"pid": child.pid})
        for child in started:
            child.wait_ready(should_stop)

    def watch(self, should_stop: Callable[[], bool]) -> None:
        """Keep every child running until `should_stop()`; it is asked ten times a second."""
        while not should_stop():
            self.revive()
            self._rolling.step()
            time.sleep(WATCH_INTERVAL_S)

    def replace_each(self) -> None:
        """A rolling restart, done by `watch`. A signal handler may call this; during one it means one more."""
        self._rolling.ask()

    def revive(self) -> None:
        """Restart each child that has ended, after a pause that grows with repeated failures."""
        for place, child in enumerate(self._children):
            code = child.exit_code()
            name = child.spec.name
            if code is None:
                self._restart_at.pop(name, None)  # its successor by a rolling restart came first
                continue
            if name not in self._restart_at:
                self._note_death(child, code)
            if time.monotonic() >= self._restart_at[name]:
                del self._restart_at[name]
                self._restart(place, child.spec)

    def signal(self, number: signal.Signals) -> None:
        for child in self._children:
            child.signal(number)

    def stop(self) -> None:
        """Stop every child, the last started first, each within its own time-out."""
        self._children += self._rolling.abandon()
        while self._children:
            child = self._children.pop()
            child.ask_to_stop()
            self._wait_stopped(child)

    def stop_together(self) -> None:
        """Ask every child at once, then wait for each: for equals such as workers."""
        self._children += self._rolling.abandon()
        for child in self._children:
            child.ask_to_stop()
        while self._children:
            self._wait_stopped(self._children.pop())

    def _wait_stopped(self, child: ChildProcess) -> None:
        self._on_event("process_stopped", child.spec.name, {"exit_code": child.wait_stopped()})

    def _note_death(self, child: ChildProcess, code: int) -> None:
        name = child.spec.name
        settled = time.monotonic() - child.started_at > SETTLED_AFTER_S
        failures = 0 if settled else self._failures.get(name, 0)
        pause = RESTART_PAUSE_S[min(failures, len(RESTART_PAUSE_S) - 1)]
        self._failures[name] = failures + 1
        self._restart_at[name] = time.monotonic() + pause
        self._on_event("process_died", name, {"exit_code": code, "restart_in_s": pause})

    def _restart(self, place: int, spec: ProcessSpec) -> None:
        """One that cannot be started counts as dead once more, and is tried again after the next pause."""
        try:
            child = ChildProcess(spec)
        except ChildFailed as error:
            self._on_event("process_not_restarted", spec.name, {"error": str(error)})
            return
        self._children[place] = child
        self._on_event("process_restarted", spec.name, {"pid": child.pid})

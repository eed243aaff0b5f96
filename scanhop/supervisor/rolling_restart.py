"""Every child replaced by a new process of its spec, one after the other, without a moment in which nobody serves.

The successor is started beside the one it replaces. When it is ready the old one is asked to stop, and when that has
drained the next is begun. A successor that ends, or is not ready within its time-out, is stopped, the old one stays,
and so do those that were not replaced yet: what ails one new process would ail the next.
"""

from collections.abc import Callable

from scanhop.supervisor.child import ChildFailed, ChildProcess

OnEvent = Callable[[str, str, dict[str, object]], None]


class RollingRestart:
    """Works on the list of its supervisor; `step` goes on as far as it can without waiting."""

    def __init__(self, children: list[ChildProcess], on_event: OnEvent) -> None:
        self._children = children
        self._on_event = on_event
        self._is_asked = False
        self._places: list[int] = []
        self._successor: ChildProcess | None = None
        self._leaving: ChildProcess | None = None

    def ask(self) -> None:
        """One more round, after the one under way. May be called by a signal handler."""
        self._is_asked = True

    def step(self) -> None:
        if self._leaving is not None:
            self._see_off(self._leaving)
        elif self._successor is not None:
            self._replace_when_ready(self._successor)
        elif self._places:
            self._start_successor()
        elif self._is_asked:
            self._is_asked = False
            self._places = list(range(len(self._children)))

    def abandon(self) -> list[ChildProcess]:
        """Ends the round; the processes that run beside the children."""
        beside = [child for child in (self._successor, self._leaving) if child is not None]
        self._successor = self._leaving = None
        self._places = []
        self._is_asked = False
        return beside

    def _start_successor(self) -> None:
        spec = self._children[self._places[0]].spec
        try:
            self._successor = ChildProcess(spec)
        except ChildFailed as error:
            self._give_up(spec.name, error)

    def _replace_when_ready(self, successor: ChildProcess) -> None:
        try:
            if not successor.is_ready():
                successor.fail_if_late()
                return
        except ChildFailed as error:
            self._give_up(successor.spec.name, error)
            self._dismiss(successor)
            return
        place = self._places.pop(0)
        old, self._children[place] = self._children[place], successor
        facts: dict[str, object] = {"pid": successor.pid, "old_pid": old.pid, "left": len(self._places)}
        self._on_event("process_replaced", successor.spec.name, facts)
        self._dismiss(old)

    def _give_up(self, name: str, error: ChildFailed) -> None:
        self._on_event("process_not_replaced", name, {"error": str(error), "left": len(self._places)})
        self._places = []

    def _dismiss(self, child: ChildProcess) -> None:
        self._successor, self._leaving = None, child
        child.ask_to_stop()

    def _see_off(self, child: ChildProcess) -> None:
        code = child.end_if_overdue()
        if code is not None:
            self._leaving = None
            self._on_event("process_stopped", child.spec.name, {"pid": child.pid, "exit_code": code})

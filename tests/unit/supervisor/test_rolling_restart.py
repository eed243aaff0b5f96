import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from scanhop.supervisor import ProcessSpec, Supervisor
from scanhop.supervisor.readiness import VARIABLE

TELL = f"echo > /proc/self/fd/${VARIABLE}"
SERVE = f"{TELL}; exec sleep 60"

Event = tuple[str, str, dict[str, object]]


@pytest.fixture
def events() -> list[Event]:
    return []


@pytest.fixture
def supervisor(events: list[Event], monkeypatch: pytest.MonkeyPatch) -> Iterator[Supervisor]:
    monkeypatch.setattr("scanhop.supervisor.supervisor.RESTART_PAUSE_S", (0.01, 0.02, 0.03))
    monkeypatch.setattr("scanhop.supervisor.supervisor.WATCH_INTERVAL_S", 0.002)
    made = Supervisor(lambda *event: events.append(event))
    yield made
    made.signal(signal.SIGKILL)
    made.stop()


def spec(name: str, script: str = SERVE, **fields: object) -> ProcessSpec:
    return ProcessSpec(name, ["/bin/sh", "-c", script], tells_ready=True, **fields)


def named(events: list[Event], event: str) -> list[str]:
    return [name for found, name, _ in events if found == event]


def watch_until(supervisor: Supervisor, condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10

    def should_stop() -> bool:
        assert time.monotonic() < deadline
        return condition()

    supervisor.watch(should_stop)


def pids(supervisor: Supervisor) -> list[int]:
    return [child.pid for child in supervisor.children]


def test_each_child_is_replaced_in_order_and_the_old_one_drained(supervisor, events):
    supervisor.start([spec("one"), spec("two"), spec("three")])
    before = pids(supervisor)
    supervisor.replace_each()
    watch_until(supervisor, lambda: len(named(events, "process_stopped")) == 3)
    assert not set(before) & set(pids(supervisor))
    assert named(events, "process_replaced") == named(events, "process_stopped") == ["one", "two", "three"]
    assert [child.exit_code() for child in supervisor.children] == [None] * 3
    codes = [facts["exit_code"] for event, _, facts in events if event == "process_stopped"]
    assert codes == [-signal.SIGTERM] * 3
    assert named(events, "process_died") == []


def test_the_old_child_is_asked_to_stop_only_when_its_successor_is_ready(supervisor, events, tmp_path):
    slow = f"test -e {tmp_path}/first && sleep 0.3; touch {tmp_path}/first; {SERVE}"
    supervisor.start([spec("worker", slow)])
    (old,) = supervisor.children
    supervisor.replace_each()
    watch_until(supervisor, lambda: old.exit_code() is not None or bool(named(events, "process_replaced")))
    assert named(events, "process_replaced") == ["worker"]


def test_the_next_is_begun_when_the_one_before_has_drained(supervisor, events, tmp_path):
    drained = tmp_path / "drained"
    slow = f"trap 'sleep 0.2; touch {drained}; exit 0' TERM; {TELL}; while :; do sleep 0.01; done"
    check = f"{TELL}; test -e {tmp_path}/started && test ! -e {drained} && exit 9; touch {tmp_path}/started; sleep 60"
    supervisor.start([spec("slow", slow), spec("next", check)])
    supervisor.replace_each()
    watch_until(supervisor, lambda: named(events, "process_stopped") == ["slow", "next"])
    assert named(events, "process_died") == []


def test_a_successor_that_ends_leaves_the_old_children_in_place_and_is_told(supervisor, events, tmp_path):
    supervisor.start(
        [spec("one", f"test -e {tmp_path}/first && exit 7; touch {tmp_path}/first; {SERVE}"), spec("two")]
    )
    before = pids(supervisor)
    supervisor.replace_each()
    watch_until(supervisor, lambda: bool(named(events, "process_stopped")))
    assert pids(supervisor) == before
    assert named(events, "process_not_replaced") == ["one"]
    (error,) = [facts["error"] for event, _, facts in events if event == "process_not_replaced"]
    assert "ended with code 7 before it was ready" in error
    assert [child.exit_code() for child in supervisor.children] == [None, None]


def test_a_successor_that_is_never_ready_is_stopped_and_the_old_child_stays(supervisor, events, tmp_path):
    script = f"test -e {tmp_path}/first && exec sleep 60; touch {tmp_path}/first; {SERVE}"
    supervisor.start([spec("worker", script, ready_timeout_s=0.5)])
    before = pids(supervisor)
    supervisor.replace_each()
    watch_until(supervisor, lambda: bool(named(events, "process_stopped")))
    assert pids(supervisor) == before
    (error,) = [facts["error"] for event, _, facts in events if event == "process_not_replaced"]
    assert "was not ready after" in error


def test_a_successor_that_cannot_be_started_is_told(supervisor, events, tmp_path):
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\n{SERVE}\n")
    program.chmod(0o700)
    supervisor.start([ProcessSpec("worker", [str(program)], tells_ready=True)])
    program.unlink()
    supervisor.replace_each()
    watch_until(supervisor, lambda: named(events, "process_not_replaced") == ["worker"])
    assert supervisor.children[0].exit_code() is None


def test_after_a_round_that_was_given_up_the_next_one_can_succeed(supervisor, events, tmp_path):
    bad = tmp_path / "bad"
    supervisor.start([spec("worker", f"test -e {bad} && exit 7; {SERVE}")])
    bad.touch()
    supervisor.replace_each()
    watch_until(supervisor, lambda: named(events, "process_not_replaced") == ["worker"])
    bad.unlink()
    supervisor.replace_each()
    watch_until(supervisor, lambda: named(events, "process_replaced") == ["worker"])


def test_asked_again_during_a_round_there_is_one_more_and_no_third(supervisor, events):
    supervisor.start([spec("one"), spec("two")])
    supervisor.replace_each()
    watch_until(supervisor, lambda: named(events, "process_replaced") == ["one"])
    supervisor.replace_each()
    supervisor.replace_each()
    watch_until(supervisor, lambda: len(named(events, "process_stopped")) == 4)
    settled = time.monotonic() + 0.2
    watch_until(supervisor, lambda: time.monotonic() > settled)
    assert named(events, "process_replaced") == ["one", "two", "one", "two"]


def test_a_child_that_dies_during_a_round_is_started_again(supervisor, events, tmp_path):
    slow = f"test -e {tmp_path}/first && sleep 0.5; touch {tmp_path}/first; {SERVE}"
    supervisor.start([spec("slow", slow), spec("other")])
    supervisor.replace_each()
    supervisor.children[1].signal(signal.SIGKILL)
    watch_until(supervisor, lambda: len(named(events, "process_stopped")) == 2)
    assert named(events, "process_restarted") == ["other"]
    assert named(events, "process_replaced") == ["slow", "other"]


def test_a_child_that_dies_while_its_successor_starts_is_not_missed_later(supervisor, events, tmp_path, monkeypatch):
    monkeypatch.setattr("scanhop.supervisor.supervisor.RESTART_PAUSE_S", (1.0, 0.01))
    slow = f"test -e {tmp_path}/first && sleep 0.2; touch {tmp_path}/first; {SERVE}"
    supervisor.start([spec("worker", slow)])
    supervisor.replace_each()
    supervisor.children[0].signal(signal.SIGKILL)
    watch_until(supervisor, lambda: len(named(events, "process_stopped")) == 1)
    assert named(events, "process_restarted") == []
    supervisor.children[0].signal(signal.SIGKILL)
    watch_until(supervisor, lambda: len(named(events, "process_restarted")) == 1)
    assert named(events, "process_died") == ["worker", "worker"]


@pytest.mark.parametrize("stop", [Supervisor.stop, Supervisor.stop_together])
def test_stopping_during_a_round_stops_the_old_and_the_new(supervisor, events, tmp_path, stop: Callable[..., None]):
    started = tmp_path / "started"
    script = f"test -e {started} && touch {tmp_path}/second && exec sleep 60; touch {started}; {SERVE}"
    supervisor.start([spec("worker", script)])
    supervisor.replace_each()
    watch_until(supervisor, Path(tmp_path / "second").exists)
    stop(supervisor)
    assert named(events, "process_stopped") == ["worker", "worker"]
    assert supervisor.children == ()


def test_an_old_child_that_does_not_drain_in_time_is_killed(supervisor, events):
    stubborn = f"trap '' TERM; {TELL}; while :; do sleep 0.01; done"
    supervisor.start([spec("worker", stubborn, stop_timeout_s=0.1)])
    supervisor.replace_each()
    watch_until(supervisor, lambda: bool(named(events, "process_stopped")))
    codes = [facts["exit_code"] for event, _, facts in events if event == "process_stopped"]
    assert codes == [-signal.SIGKILL]

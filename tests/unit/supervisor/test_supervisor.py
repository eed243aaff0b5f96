import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from scanhop.supervisor import ChildFailed, ProcessSpec, Supervisor
from scanhop.supervisor.supervisor import RESTART_PAUSE_S

Event = tuple[str, str, dict[str, object]]


@pytest.fixture
def events() -> list[Event]:
    return []


@pytest.fixture
def supervisor(events: list[Event]) -> Iterator[Supervisor]:
    made = Supervisor(lambda *event: events.append(event))
    yield made
    made.signal(signal.SIGKILL)
    made.stop()


@pytest.fixture
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scanhop.supervisor.supervisor.RESTART_PAUSE_S", (0.01, 0.02, 0.03))
    monkeypatch.setattr("scanhop.supervisor.supervisor.WATCH_INTERVAL_S", 0.002)


def spec(name: str, script: str = "exec sleep 60", **fields: object) -> ProcessSpec:
    return ProcessSpec(name, ["/bin/sh", "-c", script], **fields)


def stubborn(name: str, flag: Path, **fields: object) -> ProcessSpec:
    """Ignores SIGTERM."""
    return spec(name, f"trap '' TERM; touch {flag}; while :; do sleep 0.01; done", is_ready=flag.exists, **fields)


def start_dying(supervisor: Supervisor, flag: Path, code: int = 1) -> None:
    """Start "worker", which ends now, and at once whenever it is started again."""
    script = f"test -e {flag} && exit {code}; touch {flag}; exec sleep 60"
    supervisor.start([spec("worker", script, is_ready=flag.exists)])
    supervisor.signal(signal.SIGKILL)


def named(events: list[Event], event: str) -> list[str]:
    return [name for found, name, _ in events if found == event]


def revive_until(supervisor: Supervisor, condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        supervisor.revive()
        time.sleep(0.002)


def test_a_stage_is_started_together_and_waited_for(supervisor, events, tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    supervisor.start(
        [
            spec("one", f"while ! test -e {two}; do sleep 0.01; done; touch {one}; sleep 60", is_ready=one.exists),
            spec("two", f"touch {two}; sleep 60", is_ready=two.exists),
        ]
    )
    assert one.exists()
    assert two.exists()
    assert named(events, "process_started") == ["one", "two"]
    assert [facts["pid"] for _, _, facts in events] == [child.pid for child in supervisor.children]


def test_a_child_that_fails_in_its_stage_is_told_by_name_and_the_others_can_be_stopped(supervisor, events):
    with pytest.raises(ChildFailed, match="bad ended with code 3"):
        supervisor.start([spec("good"), spec("bad", "exit 3", is_ready=lambda: False)])
    supervisor.stop()
    assert sorted(named(events, "process_stopped")) == ["bad", "good"]
    assert supervisor.children == ()


def test_a_program_that_cannot_be_started_is_a_failed_child_and_the_others_can_be_stopped(supervisor, events):
    with pytest.raises(ChildFailed, match="bad"):
        supervisor.start([spec("good"), ProcessSpec("bad", ["/nonexistent/program"])])
    supervisor.stop()
    assert named(events, "process_stopped") == ["good"]


def test_a_child_that_ends_is_started_again(supervisor, events, short_pauses):
    supervisor.start([spec("worker")])
    before = supervisor.children[0].pid
    supervisor.children[0].signal(signal.SIGKILL)
    revive_until(supervisor, lambda: named(events, "process_restarted") == ["worker"])
    assert supervisor.children[0].pid != before
    assert supervisor.children[0].exit_code() is None
    died = next(facts for event, _, facts in events if event == "process_died")
    assert died == {"exit_code": -signal.SIGKILL, "restart_in_s": 0.01}


def test_a_child_that_ends_well_is_started_again_too(supervisor, events, short_pauses, tmp_path):
    start_dying(supervisor, tmp_path / "flag", code=0)
    revive_until(supervisor, lambda: len(named(events, "process_restarted")) >= 2)


def test_the_pause_before_a_restart_grows_to_its_greatest_and_stays_there(supervisor, events, short_pauses, tmp_path):
    start_dying(supervisor, tmp_path / "flag")
    revive_until(supervisor, lambda: len(named(events, "process_died")) >= 5)
    pauses = [facts["restart_in_s"] for event, _, facts in events if event == "process_died"]
    assert pauses[:5] == [0.01, 0.02, 0.03, 0.03, 0.03]


def test_a_child_is_not_started_again_before_its_pause_is_over(supervisor, events, monkeypatch, tmp_path):
    monkeypatch.setattr("scanhop.supervisor.supervisor.RESTART_PAUSE_S", (0.2,))
    start_dying(supervisor, tmp_path / "flag")
    revive_until(supervisor, lambda: named(events, "process_died") == ["worker"])
    died_at = time.monotonic()
    revive_until(supervisor, lambda: named(events, "process_restarted") == ["worker"])
    assert time.monotonic() - died_at >= 0.19
    assert named(events, "process_died")[:1] == ["worker"]


def test_a_child_that_had_settled_begins_with_the_shortest_pause_again(
    supervisor, events, short_pauses, monkeypatch, tmp_path
):
    monkeypatch.setattr("scanhop.supervisor.supervisor.SETTLED_AFTER_S", 0)
    start_dying(supervisor, tmp_path / "flag")
    revive_until(supervisor, lambda: len(named(events, "process_died")) >= 3)
    assert {facts["restart_in_s"] for event, _, facts in events if event == "process_died"} == {0.01}


def test_the_other_children_are_left_alone_when_one_ends(supervisor, events, short_pauses):
    supervisor.start([spec("one"), spec("two"), spec("three")])
    before = [child.pid for child in supervisor.children]
    supervisor.children[1].signal(signal.SIGKILL)
    revive_until(supervisor, lambda: named(events, "process_restarted") == ["two"])
    after = [child.pid for child in supervisor.children]
    assert (after[0], after[2]) == (before[0], before[2])
    assert after[1] != before[1]


def test_a_restart_that_fails_is_tried_again(supervisor, events, short_pauses, tmp_path):
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o700)
    supervisor.start([ProcessSpec("worker", [str(program)])])
    program.rename(tmp_path / "away")
    supervisor.children[0].signal(signal.SIGKILL)
    revive_until(supervisor, lambda: len(named(events, "process_died")) >= 2)
    (tmp_path / "away").rename(program)
    revive_until(supervisor, lambda: "worker" in named(events, "process_restarted"))
    assert supervisor.children[0].exit_code() is None


def test_watching_ends_when_it_is_told_to(supervisor, events, short_pauses):
    supervisor.start([spec("worker")])
    supervisor.children[0].signal(signal.SIGKILL)
    supervisor.watch(lambda: "process_restarted" in [event for event, _, _ in events])
    assert supervisor.children[0].exit_code() is None


def test_children_stop_in_the_reverse_order_of_their_start(supervisor, events):
    supervisor.start([spec("one"), spec("two")])
    supervisor.start([spec("three")])
    supervisor.stop()
    assert named(events, "process_stopped") == ["three", "two", "one"]
    assert supervisor.children == ()


def test_a_child_is_asked_to_stop_only_when_those_after_it_have_stopped(supervisor, events, tmp_path):
    stopped, ready = tmp_path / "stopped", tmp_path / "ready"
    slow = f"trap 'sleep 0.1; touch {stopped}; exit 0' TERM; touch {ready}; while :; do sleep 0.01; done"
    first_ready = tmp_path / "first"
    check = f"trap 'test -e {stopped}; exit $?' TERM; touch {first_ready}; while :; do sleep 0.01; done"
    supervisor.start([spec("first", check, is_ready=first_ready.exists)])
    supervisor.start([spec("last", slow, is_ready=ready.exists)])
    supervisor.stop()
    assert [facts["exit_code"] for event, _, facts in events if event == "process_stopped"] == [0, 0]


def test_a_child_that_does_not_stop_is_killed_and_the_rest_is_stopped(supervisor, events, tmp_path):
    supervisor.start([spec("good"), stubborn("bad", tmp_path / "flag", stop_timeout_s=0.1)])
    supervisor.stop()
    codes = {name: facts["exit_code"] for event, name, facts in events if event == "process_stopped"}
    assert codes == {"bad": -signal.SIGKILL, "good": -signal.SIGTERM}


def test_equals_are_asked_together_so_that_they_stop_in_the_time_of_one(supervisor, events, tmp_path):
    supervisor.start([stubborn(f"worker-{n}", tmp_path / f"{n}", stop_timeout_s=0.3) for n in range(4)])
    started = time.monotonic()
    supervisor.stop_together()
    assert len(named(events, "process_stopped")) == 4
    assert time.monotonic() - started < 0.9


def test_a_signal_reaches_every_child(supervisor, events):
    supervisor.start([spec("one"), spec("two")])
    supervisor.signal(signal.SIGKILL)
    supervisor.stop()
    assert {facts["exit_code"] for event, _, facts in events if event == "process_stopped"} == {-signal.SIGKILL}


def test_stopping_twice_stops_once(supervisor, events):
    supervisor.start([spec("one")])
    supervisor.stop()
    supervisor.stop()
    supervisor.stop_together()
    assert named(events, "process_stopped") == ["one"]


def test_the_pauses_grow():
    assert list(RESTART_PAUSE_S) == sorted(RESTART_PAUSE_S)
    assert 0 < RESTART_PAUSE_S[0] <= 0.1

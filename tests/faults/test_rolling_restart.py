"""SIGHUP under load: the workers are replaced one after the other, and no phone notices."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.edge_process import EdgeProcess, Load, publish
from tests.product import eventually
from tests.routes import new_route

SOAK_ROUNDS = 30


@pytest.fixture
def new_edge(tmp_path: Path, redis_url: str, postgres_dsn: str) -> Iterator[Callable[..., EdgeProcess]]:
    """Starts one with a published code."""
    with ExitStack() as stack:

        def start(**options: Any) -> EdgeProcess:
            publish(redis_url, new_route())
            return stack.enter_context(EdgeProcess(tmp_path / "edge", redis_url, postgres_dsn, **options))

        yield start


def roll(edge: EdgeProcess, workers: int) -> None:
    """One round, until each old worker has ended."""
    done = edge.count("process_stopped") + workers
    edge.signal(signal.SIGHUP)
    eventually(lambda: edge.count("process_stopped") == done, 60)


def check(load: Load, edge: EdgeProcess) -> None:
    assert load.refused == []
    assert load.broken == {}
    assert load.others == []
    load.check_spool(edge.nonces())


@pytest.mark.parametrize("workers", [1, 2])
def test_no_connection_is_refused_and_no_request_broken_and_every_scan_is_in_the_spool(new_edge, workers):
    edge = new_edge(workers=workers)
    with Load(edge, "abc2345") as load:
        for _ in range(3):
            before = set(edge.workers())
            load.wait_for(100)
            roll(edge, workers)
            assert not before & set(edge.workers())
        load.wait_for(100)
    assert edge.stop() == 0
    check(load, edge)
    assert edge.count("process_replaced") == 3 * workers
    assert edge.count("process_died") == edge.count("process_not_replaced") == 0
    assert all(event["exit_code"] == 0 for event in edge.events("process_stopped"))


@pytest.mark.soak
def test_again_and_again(new_edge):
    edge = new_edge(workers=2)
    with Load(edge, "abc2345", keeping=8, opening=4) as load:
        for _ in range(SOAK_ROUNDS):
            roll(edge, 2)
            load.wait_for(20)
    assert edge.stop() == 0
    check(load, edge)


def test_a_second_hangup_during_a_round_is_one_more_round(new_edge):
    edge = new_edge(workers=2)
    edge.signal(signal.SIGHUP)
    eventually(lambda: edge.count("process_replaced") == 1, 60)
    edge.signal(signal.SIGHUP)
    eventually(lambda: edge.count("process_stopped") == 4, 60)
    assert [event["name"] for event in edge.events("process_replaced")] == ["edge-0", "edge-1"] * 2
    assert len(edge.workers()) == 2


def test_new_workers_read_the_settings_anew(new_edge):
    edge = new_edge(workers=2)
    assert "Lighthouse" not in edge.get("/r/nosuch1").text
    (edge.folder / ".env").write_text("SCANHOP_BRAND_NAME=Lighthouse\n")
    roll(edge, 2)
    assert "Lighthouse" in edge.get("/r/nosuch1").text


def test_a_new_worker_that_cannot_start_leaves_the_old_ones_serving_and_is_told(new_edge):
    edge = new_edge(workers=2)
    before = edge.workers()
    (edge.folder / ".env").write_text("SCANHOP_LOG_LEVEL=nonsense\n")
    edge.signal(signal.SIGHUP)
    eventually(lambda: edge.count("process_stopped") == 1, 60)
    assert edge.workers() == before
    assert edge.status_of("abc2345") == 302
    (told,) = edge.events("process_not_replaced")
    assert "ended with code 2 before it was ready" in told["error"]
    (edge.folder / ".env").unlink()
    roll(edge, 2)
    assert not set(before) & set(edge.workers())


@pytest.mark.soak  # half a minute of waiting; the supervisor's own tests hold the short form
def test_a_new_worker_that_hangs_leaves_the_old_ones_serving_and_is_told(new_edge):
    edge = new_edge(workers=1)
    (old,) = edge.workers()
    with Load(edge, "abc2345", keeping=1, opening=1) as load:
        edge.signal(signal.SIGHUP)
        eventually(lambda: len(edge.workers()) == 2, 30)
        (new,) = set(edge.workers()) - {old}
        os.kill(new, signal.SIGSTOP)
        eventually(lambda: edge.count("process_not_replaced") == 1, 90)
        load.wait_for(50)
        os.kill(new, signal.SIGKILL)
        eventually(lambda: edge.workers() == [old], 30)
    edge.stop()
    check(load, edge)


def test_a_worker_that_is_killed_during_a_round_is_started_again(new_edge):
    edge = new_edge(workers=2)
    edge.signal(signal.SIGHUP)
    eventually(lambda: len(edge.workers()) == 3, 30)
    os.kill(sorted(edge.workers())[1], signal.SIGKILL)
    eventually(lambda: edge.count("process_replaced") == 2, 60)
    eventually(lambda: edge.count("process_stopped") == 2, 60)
    assert len(edge.workers()) == 2
    assert edge.status_of("abc2345") == 302


def test_a_stop_during_a_round_stops_everything(new_edge):
    edge = new_edge(workers=2)
    edge.signal(signal.SIGHUP)
    eventually(lambda: len(edge.workers()) == 3, 30)
    everyone = edge.workers()
    assert edge.stop() == 0
    assert not [pid for pid in everyone if Path(f"/proc/{pid}").exists()]
    assert edge.count("process_stopped") == 3

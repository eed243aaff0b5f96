"""`scanhop edge` as processes, on real engines: its workers' deaths, their metrics, starts without any store."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from scanhop.wire.route import Status
from tests.edge_process import EdgeProcess, Load, publish, samples
from tests.product import eventually
from tests.redis_server import RedisServer
from tests.routes import new_route

AWAY_POSTGRES = "postgresql://nobody@127.0.0.1:1/none"
AWAY_REDIS = "redis://127.0.0.1:1/0"

NewEdge = Callable[..., EdgeProcess]


@pytest.fixture
def new_edge(tmp_path: Path, redis_url: str, postgres_dsn: str) -> Iterator[NewEdge]:
    """Starts one; `redis` and `postgres` are addresses, the others settings. The data stays from one to the next."""
    with ExitStack() as stack:

        def start(redis: str = redis_url, postgres: str = postgres_dsn, **options: Any) -> EdgeProcess:
            return stack.enter_context(EdgeProcess(tmp_path / "edge", redis, postgres, **options))

        yield start


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path / "redis") as server:
        yield server


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def workers_in(edge: EdgeProcess) -> set[str]:
    return {labels["worker"] for _, labels in samples(edge.get("/metrics").text) if "worker" in labels}


# --- workers that die ---


@pytest.mark.parametrize("workers", [1, 2])
def test_a_killed_worker_is_started_again_and_no_connection_is_refused(new_edge, redis_url, workers):
    edge = new_edge(workers=workers)
    publish(redis_url, new_route())
    with Load(edge, "abc2345") as load:
        for _ in range(3):
            load.wait_for(100)
            before = set(edge.workers())
            kill(before.copy().pop())
            eventually(lambda before=before: len(set(edge.workers()) - before) == 1, 30)
        load.wait_for(200)
    assert edge.stop() == 0
    assert load.refused == []
    assert load.others == []
    load.check_spool(edge.nonces())
    assert edge.count("process_restarted") == 3


def test_an_edge_without_a_secret_key_says_so_once(new_edge):
    edge = new_edge(SECRET_KEY="", workers=2)
    assert edge.count("secret_key_missing") == 1
    edge.stop()
    assert new_edge().count("secret_key_missing") == 0


def test_a_hangup_that_reaches_a_worker_does_nothing(new_edge):
    edge = new_edge()
    (worker,) = edge.workers()
    os.kill(worker, signal.SIGHUP)
    assert edge.get("/healthz").status_code == 200
    assert edge.workers() == [worker]


def test_a_worker_may_have_as_many_files_as_the_system_allows(new_edge):
    (worker,) = new_edge().workers()
    line = next(line for line in Path(f"/proc/{worker}/limits").read_text().splitlines() if "open files" in line)
    soft, hard = line.split()[3:5]
    assert soft == hard


# --- metrics of all workers ---


def test_whoever_answers_the_metrics_of_every_worker_are_told_each_family_in_one_place(new_edge):
    edge = new_edge(workers=3)
    for _ in range(6):
        text = edge.get("/metrics").text
        families = [name for name, _ in samples(text)]
        assert {labels["worker"] for _, labels in samples(text) if "worker" in labels} == {"0", "1", "2"}
        assert len(_runs(families)) == len(set(families))
        heads = [line for line in text.splitlines() if line.startswith("# TYPE ")]
        assert len(heads) == len(set(heads))
        assert 'scanhop_edge_workers{state="answering"} 3.0' in text


def _runs(names: list[str]) -> list[str]:
    return [name for place, name in enumerate(names) if place == 0 or names[place - 1] != name]


def test_the_counts_of_all_workers_add_up(new_edge, redis_url):
    edge = new_edge(workers=2)
    publish(redis_url, new_route())
    for _ in range(40):
        assert edge.status_of("abc2345") == 302
    text = edge.get("/metrics").text
    lines = [line for line in text.splitlines() if line.startswith('scanhop_edge_scans_total{outcome="redirect"')]
    assert len(lines) == 2
    assert sum(float(line.split()[-1]) for line in lines) == 40


def test_a_worker_that_hangs_is_left_out_and_one_that_was_killed_is_back(new_edge):
    edge = new_edge(workers=2, METRICS_BIND="")
    first, second = edge.workers()
    os.kill(first, signal.SIGSTOP)
    try:
        answers = _until_answered(edge, tries=8)
        assert any('scanhop_edge_workers{state="answering"} 1.0' in text for text in answers)
        assert all('scanhop_edge_workers{state="configured"} 2.0' in text for text in answers)
    finally:
        kill(first)
    eventually(lambda: len(set(edge.workers()) - {first}) == 2, 30)
    eventually(lambda: workers_in(edge) == {"0", "1"}, 30)
    assert second in edge.workers()


def _until_answered(edge: EdgeProcess, tries: int) -> list[str]:
    """Of connections that the stopped worker took there comes nothing."""
    answers = []
    for _ in range(tries):
        try:
            answers.append(httpx.get(f"{edge.url}/metrics", timeout=3).text)
        except httpx.ReadTimeout:
            continue
        if len(answers) == 2:
            break
    return answers


def test_one_worker_counts_itself(new_edge):
    text = new_edge().get("/metrics").text
    assert 'scanhop_edge_workers{state="answering"} 1.0' in text
    assert 'scanhop_edge_workers{state="configured"} 1.0' in text


# --- what is remembered on disk ---


def test_a_cold_start_without_any_store_answers_every_code_of_the_snapshot(new_edge, own_redis):
    routes = [new_route(code=f"code{number}", target_url=f"https://example.com/{number}") for number in range(30)]
    publish(own_redis.url, *routes)
    edge = new_edge(own_redis.url, AWAY_POSTGRES, workers=2)
    for route in routes:
        assert edge.status_of(route.code) == 302
    assert edge.stop() == 0
    own_redis.kill()
    edge = new_edge(own_redis.url, AWAY_POSTGRES, workers=2)
    for route in routes * 2:
        answer = edge.get(f"/r/{route.code}")
        assert (answer.status_code, answer.headers["location"]) == (302, route.target_url)
    assert edge.status_of("other12") == 503


def test_what_changed_while_the_edge_was_down_is_heard_where_a_store_can_be_asked(new_edge, own_redis):
    route = new_route()
    publish(own_redis.url, route)
    edge = new_edge(own_redis.url, AWAY_POSTGRES)
    assert edge.status_of(route.code) == 302
    edge.stop()
    publish(own_redis.url, msgspec.structs.replace(route, version=2, status=Status.DELETED))
    edge = new_edge(own_redis.url, AWAY_POSTGRES)
    assert edge.status_of(route.code) == 410


@pytest.mark.parametrize("damage", ["cut", "bit", "zeros", "empty"])
def test_with_a_damaged_snapshot_it_starts_anyway_and_says_so_once(new_edge, own_redis, tmp_path, damage):
    publish(own_redis.url, new_route())
    edge = new_edge(own_redis.url, AWAY_POSTGRES)
    assert edge.status_of("abc2345") == 302
    edge.stop()
    path = tmp_path / "edge" / "data" / "routes" / "0.snapshot"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x10
    path.write_bytes({"cut": bytes(data[:40]), "bit": bytes(data), "zeros": bytes(len(data)), "empty": b""}[damage])
    edge = new_edge(AWAY_REDIS, AWAY_POSTGRES)
    assert edge.status_of("abc2345") == 503
    assert edge.count("snapshot_damaged") == 1


def test_a_folder_that_cannot_be_written_is_no_reason_not_to_serve(new_edge, redis_url, tmp_path):
    publish(redis_url, new_route())
    (tmp_path / "edge" / "data").mkdir(parents=True)
    (tmp_path / "edge" / "data" / "routes").write_text("not a folder")
    edge = new_edge()
    assert edge.status_of("abc2345") == 302
    assert edge.stop() == 0
    assert edge.count("snapshot_not_saved") == 1


def test_the_start_does_not_wait_for_stores_that_hang(new_edge, own_redis):
    publish(own_redis.url, new_route())
    edge = new_edge(own_redis.url, AWAY_POSTGRES)
    assert edge.status_of("abc2345") == 302
    edge.stop()
    own_redis.pause()
    edge = new_edge(own_redis.url, AWAY_POSTGRES)
    assert edge.status_of("abc2345") == 302
    own_redis.resume()

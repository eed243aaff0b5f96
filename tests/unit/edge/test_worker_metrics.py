"""Workers in one loop that ask each other for their figures, over the sockets that a supervisor would have opened."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from edge import worker_metrics
from edge.metrics import workers_text
from edge.worker_metrics import Siblings, WorkerMetrics, merge

Build = Callable[[int, bytes], WorkerMetrics]


def text_of(worker: int, *families: str) -> bytes:
    lines = [
        f'# HELP {name} What it is.\n# TYPE {name} counter\n{name}{{worker="{worker}"}} {worker}.0\n'
        for name in families or ("scans",)
    ]
    return "".join(lines).encode()


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208


@pytest.fixture
def listeners() -> Iterator[list[socket.socket]]:
    """Of three workers, as the supervisor holds them."""
    made = [socket.socket(socket.AF_UNIX) for _ in range(3)]
    for listener in made:
        listener.bind("")
        listener.listen()
    yield made
    for listener in made:
        listener.close()


@pytest.fixture
async def build(listeners: list[socket.socket]) -> AsyncIterator[Build]:
    built = []

    def build_one(worker: int, text: bytes) -> WorkerMetrics:
        inherited = [socket.socket(fileno=os.dup(listener.fileno())) for listener in listeners]
        metrics = WorkerMetrics(lambda: text, Siblings(worker, inherited))
        built.append(metrics)
        return metrics

    yield build_one
    for metrics in built:
        metrics.close()
        metrics._siblings.own.close()
    await asyncio.sleep(0.01)  # until the connections are closed too


async def test_a_worker_tells_the_figures_of_all(build):
    first = build(0, text_of(0))
    for number in (1, 2):
        await build(number, text_of(number)).tell_siblings()
    assert await first.text() == (
        b"# HELP scans What it is.\n# TYPE scans counter\n"
        b'scans{worker="0"} 0.0\nscans{worker="1"} 1.0\nscans{worker="2"} 2.0\n'
    ) + workers_text(answering=3, configured=3)


async def test_a_worker_that_does_not_answer_in_time_is_left_out(build, monkeypatch):
    monkeypatch.setattr(worker_metrics, "TIMEOUT_S", 0.1)
    first = build(0, text_of(0))
    await build(1, text_of(1)).tell_siblings()
    text = await first.text()
    assert b'scans{worker="1"}' in text
    assert text.endswith(workers_text(answering=2, configured=3))


async def test_what_breaks_off_is_left_out(build, listeners):
    first = build(0, text_of(0))
    await build(1, text_of(1)).tell_siblings()
    asking = asyncio.create_task(first.text())
    broken, _ = await asyncio.to_thread(listeners[2].accept)
    broken.sendall(text_of(2)[:-4])
    broken.close()
    text = await asking
    assert b'worker="2"' not in text
    assert text.endswith(workers_text(answering=2, configured=3))


async def test_a_worker_that_was_started_anew_answers_on_the_same_address(build):
    first, old = build(0, text_of(0)), build(1, text_of(1))
    await old.tell_siblings()
    await build(2, text_of(2)).tell_siblings()
    await first.text()
    old.close()
    await build(1, text_of(7)).tell_siblings()
    assert b'scans{worker="7"}' in await first.text()


async def test_those_who_ask_at_once_are_answered_from_one_round(build):
    calls = []
    first = build(0, b"")
    first._own = lambda: calls.append(1) or text_of(0)
    for number in (1, 2):
        await build(number, text_of(number)).tell_siblings()
    texts = await asyncio.gather(*(first.text() for _ in range(20)))
    assert len(set(texts)) == 1
    assert len(calls) == 1


async def test_who_gives_up_asking_takes_no_answer_from_the_others(build):
    first = build(0, text_of(0))
    for number in (1, 2):
        await build(number, text_of(number)).tell_siblings()
    impatient, patient = asyncio.create_task(first.text()), asyncio.create_task(first.text())
    await asyncio.sleep(0)
    impatient.cancel()
    assert b'scans{worker="2"}' in await patient


async def test_no_connection_is_left_behind(build):
    first = build(0, text_of(0))
    await build(1, text_of(1)).tell_siblings()
    await first.text()
    await asyncio.sleep(0.05)
    before = descriptors()
    await first.text()
    await asyncio.sleep(0.05)
    assert descriptors() == before


async def test_a_worker_that_is_alone_opens_no_connection():
    before = descriptors()
    alone = WorkerMetrics(lambda: text_of(0), Siblings())
    await alone.tell_siblings()
    assert await alone.text() == text_of(0) + workers_text(answering=1, configured=1)
    assert descriptors() == before


def test_a_family_that_only_one_worker_has_is_kept():
    merged = merge([text_of(0, "scans", "old"), text_of(1, "scans", "new")])
    assert [line for line in merged.decode().splitlines() if not line.startswith("#")] == [
        'scans{worker="0"} 0.0',
        'scans{worker="1"} 1.0',
        'old{worker="0"} 0.0',
        'new{worker="1"} 1.0',
    ]

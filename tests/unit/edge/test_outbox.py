import asyncio
from collections.abc import Callable, Iterator

import pytest

from edge.answers import Answer
from edge.fast_path import ENOUGH, Outbox
from edge.http_head import HeadReader
from edge.local_cache import ready_route
from edge.recorder import Recorder, ready_peer
from scanhop.spool import BoundedWriter, SpoolLimits, SpoolWriter
from scanhop.wire.scan_record import Outcome
from tests.unit.spool.crashes import payloads

READY = ready_route(Answer(302, Outcome.REDIRECT, b"3", b"0"), b"route", b"", 0)


class Phone:
    """Asks, whenever it is answered, how many scans are in the spool by then."""

    def __init__(self, count: Callable[[], int]) -> None:
        self._count = count
        self.answers: list[tuple[bytes, int]] = []

    def write(self, data: bytes) -> None:
        self.answers.append((data, self._count()))


@pytest.fixture
def spool(spool_root) -> Iterator[BoundedWriter]:
    spool = BoundedWriter(SpoolWriter(spool_root, SpoolLimits(1 << 20, fsync_interval_s=60, max_age_s=3600)))
    yield spool
    spool.close()


@pytest.fixture
def new_phone(spool, spool_root) -> Callable[[], Phone]:
    return lambda: Phone(lambda: len(payloads(spool_root, spool.spool_id)))


def new_outbox(recorder: Recorder) -> Outbox:
    return Outbox(recorder, asyncio.get_running_loop(), HeadReader(), {})


async def looks(count: int) -> None:
    """As many rounds of the loop."""
    for _ in range(count):
        await asyncio.sleep(0)


async def test_answers_leave_when_all_their_scans_are_in_the_spool(spool, new_phone):
    recorder = Recorder(spool)
    outbox, phones = new_outbox(recorder), [new_phone() for _ in range(3)]
    for phone in phones[:2]:
        outbox.send((phone, READY, ready_peer(bytes(4)), b"", b"2"))
    recorder.record(b"", Outcome.EXPIRED, b"", b"")
    outbox.send((phones[2], None, b"410", b"", b""))
    assert [phone.answers for phone in phones] == [[], [], []]
    await looks(2)
    assert [phone.answers for phone in phones] == [[(b"302", 3)], [(b"302", 3)], [(b"410", 3)]]


async def test_answers_leave_together_as_long_as_each_look_brings_more(spool, new_phone):
    outbox, phones = new_outbox(Recorder(spool)), [new_phone() for _ in range(4)]
    for phone in phones:
        outbox.send((phone, READY, ready_peer(b""), b"", b"2"))
        await looks(1)
        assert not any(phone.answers for phone in phones)
    await looks(1)
    assert [phone.answers for phone in phones] == [[(b"302", 4)]] * 4


async def test_answers_that_are_enough_leave_at_the_first_look(spool, new_phone):
    outbox, phone = new_outbox(Recorder(spool)), new_phone()
    for _ in range(ENOUGH):
        outbox.send((phone, READY, ready_peer(b""), b"", b"2"))
    await looks(1)
    assert len(phone.answers) == ENOUGH


async def test_answers_in_a_hurry_leave_before_what_is_called_soon(spool, new_phone):
    loop = asyncio.get_running_loop()
    outbox, phone = new_outbox(Recorder(spool)), new_phone()
    outbox.send((phone, READY, ready_peer(b""), b"", b"2"))
    outbox.hurry()
    loop.call_soon(phone.write, b"of the application")
    await looks(1)
    assert phone.answers == [(b"302", 1), (b"of the application", 1)]


async def test_answers_leave_also_where_a_scan_cannot_be_recorded(spool, new_phone):
    """A fault of ours, which is told: it takes nobody's answer along."""
    loop, told = asyncio.get_running_loop(), []
    loop.set_exception_handler(lambda _, context: told.append(context["exception"]))
    outbox, phones, closed = new_outbox(Recorder(spool)), [new_phone() for _ in range(2)], []
    for phone, peer in zip(phones, ("no bytes", ready_peer(b"")), strict=True):
        outbox.send((phone, READY, peer, b"", b"2"))
    outbox.then(lambda: closed.append(True))
    await looks(2)
    assert [[answer for answer, _ in phone.answers] for phone in phones] == [[b"302"], [b"302"]]
    assert closed == [True]
    assert [type(error) for error in told] == [TypeError]


async def test_a_connection_is_closed_when_its_last_answer_was_written(spool, new_phone):
    outbox, phone = new_outbox(Recorder(spool)), new_phone()
    answers_when_closed: list[int] = []
    outbox.send((phone, READY, ready_peer(b""), b"", b"2"))
    outbox.then(lambda: answers_when_closed.append(len(phone.answers)))
    await looks(2)
    assert answers_when_closed == [1]

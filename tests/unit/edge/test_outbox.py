import asyncio
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import pytest

from edge.fast_path import Outbox
from edge.recorder import Recorder
from scanhop.spool import BoundedWriter, SpoolLimits, SpoolWriter
from scanhop.wire.scan_record import Outcome
from tests.unit.spool.crashes import payloads

READY = SimpleNamespace(prefix=b"", answer=SimpleNamespace(outcome=Outcome.REDIRECT, head=b"3", value=b"0", body=b""))


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


async def test_answers_leave_when_all_scans_of_their_tick_are_in_the_spool(spool, new_phone):
    recorder = Recorder(spool)
    outbox, phones = Outbox(recorder, asyncio.get_running_loop()), [new_phone() for _ in range(3)]
    for phone in phones[:2]:
        outbox.send((phone, READY, b"\0\0\0\0", b"", b"2"))
    recorder.record(b"", Outcome.EXPIRED, b"", b"")
    outbox.send((phones[2], None, b"410", b"", b""))
    assert [phone.answers for phone in phones] == [[], [], []]
    await asyncio.sleep(0)
    assert [phone.answers for phone in phones] == [[(b"302", 3)], [(b"302", 3)], [(b"410", 3)]]


async def test_a_connection_is_closed_when_its_last_answer_was_written(spool, new_phone):
    outbox, phone = Outbox(Recorder(spool), asyncio.get_running_loop()), new_phone()
    answers_when_closed: list[int] = []
    outbox.send((phone, READY, b"", b"", b"2"))
    outbox.then(lambda: answers_when_closed.append(len(phone.answers)))
    await asyncio.sleep(0)
    assert answers_when_closed == [1]

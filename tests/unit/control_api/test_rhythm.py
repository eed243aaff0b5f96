import asyncio
import contextlib

import pytest

from control_api.upkeep import rhythm
from control_api.upkeep.rhythm import every
from scanhop.stores.errors import StoreUnavailable

LONG_S = 3600.0


class Work:
    """Fails as often as it is told to; ends the rhythm at its last turn."""

    def __init__(self, *, failures: int = 0, turns: int = 1) -> None:
        self.failures = failures
        self.turns = turns
        self.done = 0

    async def __call__(self) -> None:
        self.done += 1
        if self.done <= self.failures:
            raise StoreUnavailable("away")
        if self.done >= self.turns:
            raise ZeroDivisionError


async def test_work_is_done_again_and_again():
    work = Work(turns=5)
    with pytest.raises(ZeroDivisionError):
        await every(0, "work", work)
    assert work.done == 5


async def test_a_store_in_trouble_is_told_once_and_again_when_it_is_over(capsys):
    with pytest.raises(ZeroDivisionError):
        await every(0, "work", Work(failures=3, turns=6))
    told = capsys.readouterr().out
    assert (told.count("upkeep_hindered"), told.count("upkeep_resumed")) == (1, 1)


async def test_work_that_failed_is_tried_again_soon(monkeypatch):
    monkeypatch.setattr(rhythm, "RETRY_S", 0)
    work = Work(failures=2, turns=3)
    with pytest.raises(ZeroDivisionError):
        await every(LONG_S, "work", work)
    assert work.done == 3


async def test_work_is_done_sooner_when_asked_even_while_it_is_under_way():
    sooner, turns = asyncio.Event(), []

    async def work() -> None:
        turns.append(1)
        if len(turns) == 3:
            raise ZeroDivisionError
        sooner.set()

    with pytest.raises(ZeroDivisionError):
        await every(LONG_S, "work", work, sooner=sooner)


async def test_a_cancellation_that_the_work_swallows_ends_it_all_the_same():
    begun = asyncio.Event()

    async def work() -> None:
        begun.set()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(LONG_S)

    task = asyncio.create_task(every(LONG_S, "work", work))
    await begun.wait()
    task.cancel()
    await task


async def test_a_pause_can_be_cancelled():
    begun = asyncio.Event()

    async def work() -> None:
        begun.set()

    task = asyncio.create_task(every(LONG_S, "work", work))
    await begun.wait()
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

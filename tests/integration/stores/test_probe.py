import asyncio
import time

from scanhop.stores.probe import answers_within


async def test_a_probe_that_answers_is_up_and_one_that_fails_is_not():
    async def fail() -> None:
        raise OSError

    assert await answers_within(1, asyncio.sleep(0))
    assert not await answers_within(1, fail())


async def test_a_probe_that_will_not_even_be_cancelled_is_given_up_in_time():
    async def cling() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            await asyncio.sleep(0.5)
            raise

    started = time.monotonic()
    assert not await answers_within(0.05, cling())
    assert time.monotonic() - started < 0.4
    await asyncio.sleep(0.6)

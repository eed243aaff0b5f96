"""Whether a store answers, within a bound that holds even when its client is slow to give up."""

import asyncio
from collections.abc import Coroutine
from typing import Any

_given_up: set[asyncio.Task[None]] = set()


async def answers_within(seconds: float, probe: Coroutine[Any, Any, None]) -> bool:
    """A probe that is late is cancelled and left to end by itself: cancelling may take as long as what hangs."""
    task = asyncio.create_task(probe)
    done, _ = await asyncio.wait([task], timeout=seconds)
    if not done:
        task.cancel()
        _given_up.add(task)
        task.add_done_callback(_forget)
        return False
    return task.exception() is None


def _forget(task: "asyncio.Task[None]") -> None:
    _given_up.discard(task)
    if not task.cancelled():
        task.exception()  # taken, so that nobody reports it as never retrieved

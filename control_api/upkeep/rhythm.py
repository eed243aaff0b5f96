"""Work that is done again and again. A store in trouble is told once, and once more when it is over."""

import asyncio
from collections.abc import Awaitable, Callable

from scanhop.stores.cancellation import is_cancelled
from scanhop.stores.errors import StoreError
from scanhop.telemetry.logs import get_logger

RETRY_S = 5.0

_log = get_logger()

Work = Callable[[], Awaitable[None]]


async def every(seconds: float, name: str, work: Work, *, sooner: asyncio.Event | None = None) -> None:
    """At once and then after each pause of `seconds`, or when `sooner` is set. Runs until cancelled.

    After a failure the pause is RETRY_S at most. What `work` raises beside StoreError ends it. A cancellation that
    `work` swallows (a client's `asyncio.wait_for` may, on Python 3.11) ends it after that turn.
    """
    sooner = sooner or asyncio.Event()
    in_trouble = False
    while True:
        sooner.clear()
        try:
            await work()
        except StoreError as error:
            if not in_trouble:
                _log.warning("upkeep_hindered", work=name, error=str(error))
            in_trouble = True
        else:
            if in_trouble:
                _log.info("upkeep_resumed", work=name)
            in_trouble = False
        if is_cancelled():
            return
        await _pause(min(seconds, RETRY_S) if in_trouble else seconds, sooner)


async def _pause(seconds: float, sooner: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(seconds):
            await sooner.wait()
    except TimeoutError:
        return

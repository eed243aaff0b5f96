"""Collectors as tests run them."""

import asyncio
from collections.abc import Awaitable, Callable

from ingest.collector import Collector

Rows = Callable[[str], Awaitable[list[tuple[object, ...]]]]


async def take(collector: Collector, wanted: int) -> None:
    """Rounds until so many segments were taken; what failed is left alone for moments in between."""
    async with asyncio.timeout(60):
        while wanted > 0:
            wanted -= await collector.collect()
            await asyncio.sleep(0.01)


def crash(collector: Collector) -> None:
    """What the kernel does for a killed process: its locks go."""
    for claim in collector._claims.values():
        claim.release()

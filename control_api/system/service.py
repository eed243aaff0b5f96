"""Whether the stores answer."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

from scanhop.stores.probe import answers_within

Probe = Callable[[], Coroutine[Any, Any, None]]


@dataclass(frozen=True)
class StoreState:
    """`latency_ms`: how long the store took to answer; None when it did not."""

    is_up: bool
    latency_ms: float | None


class Health:
    """Asks all stores at once, and waits `timeout_s` at most."""

    def __init__(self, probes: Mapping[str, Probe], timeout_s: float) -> None:
        self._probes = probes
        self._timeout_s = timeout_s

    async def list_states(self) -> dict[str, StoreState]:
        states = await asyncio.gather(*(self._ask(probe) for probe in self._probes.values()))
        return dict(zip(self._probes, states, strict=True))

    async def _ask(self, probe: Probe) -> StoreState:
        started = time.perf_counter()
        if not await answers_within(self._timeout_s, probe()):
            return StoreState(is_up=False, latency_ms=None)
        return StoreState(is_up=True, latency_ms=round((time.perf_counter() - started) * 1000, 2))

"""How long to leave something alone that has failed: exponential, with full jitter, up to a cap.

Full jitter (a pause anywhere between nothing and the bound) keeps several processes from coming back at once
(M. Brooker, "Exponential Backoff and Jitter", 2015).
"""

import random
from collections.abc import Callable

BASE_S = 0.2


class Backoff:
    """Times are of the monotonic clock. `chance` gives numbers in [0, 1)."""

    def __init__(self, cap_s: float, base_s: float = BASE_S, chance: Callable[[], float] = random.random) -> None:
        self._cap_s = cap_s
        self._base_s = base_s
        self._chance = chance
        self.failures = 0
        self._until = float("-inf")

    def record_failure(self, now: float) -> float:
        """The pause, in seconds."""
        bound = min(self._cap_s, self._base_s * 2.0 ** min(self.failures, 32))
        pause = bound * self._chance()
        self.failures += 1
        self._until = now + pause
        return pause

    def record_success(self) -> None:
        self.failures = 0
        self._until = float("-inf")

    def is_waiting(self, now: float) -> bool:
        return now < self._until

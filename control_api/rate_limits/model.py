"""Limits, and what is said of a request by them."""

from dataclasses import dataclass

SECOND_US = 1_000_000


@dataclass(frozen=True)
class Limit:
    """`burst` requests at once, and `per_second` more with each second. `policy`: its name in the answers."""

    policy: str
    per_second: int
    burst: int

    @property
    def interval_us(self) -> int:
        """How long one request takes to be given back."""
        return max(SECOND_US // self.per_second, 1)

    @property
    def tolerance_us(self) -> int:
        """How long a whole burst takes to be given back."""
        return self.interval_us * self.burst

    def divided_by(self, divisor: int) -> "Limit":
        return Limit(self.policy, max(self.per_second // divisor, 1), max(self.burst // divisor, 1))


@dataclass(frozen=True)
class Verdict:
    """`full_us`: until nothing of the bucket is used any more; `retry_us`: until the next request will be let in."""

    limit: Limit
    is_allowed: bool
    remaining: int
    full_us: int
    retry_us: int = 0


def decide(limit: Limit, full_at_us: int, now_us: int) -> tuple[Verdict, int]:
    """The verdict on a request at `now_us`, and when the bucket will be full again after it."""
    interval, tolerance = limit.interval_us, limit.tolerance_us
    full_us = min(max(full_at_us - now_us, 0), tolerance)
    wanted_us = full_us + interval
    if wanted_us > tolerance:
        verdict = Verdict(limit, False, 0, full_us, wanted_us - tolerance)
        return verdict, now_us + full_us
    return Verdict(limit, True, (tolerance - wanted_us) // interval, wanted_us), now_us + wanted_us

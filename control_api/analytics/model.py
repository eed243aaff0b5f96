"""Questions about scans, and their answers."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from zoneinfo import ZoneInfo

Granularity = Literal["hour", "day", "week", "month"]
UNIQUE_DEFINITION = "One visitor is one address, device and language per UTC day; unknown visitors are not counted."


@dataclass(frozen=True)
class Period:
    """The moments from `start` up to, but without, `end`; both in UTC. Buckets are cut in `zone`. `reaches_now`: its
    end is not over yet."""

    start: datetime
    end: datetime
    zone: ZoneInfo
    granularity: Granularity
    reaches_now: bool = False


@dataclass(frozen=True)
class Bucket:
    """`at` is the start of the bucket in the asked zone; the first and the last may reach beyond the period."""

    at: datetime
    scans: int
    visitors: int


@dataclass(frozen=True)
class Share:
    """How many of the scans had `value`; the empty text means unknown."""

    value: str
    scans: int

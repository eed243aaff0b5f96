"""Counts laid out over every bucket of a period: pure."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import TypeVar

from control_api.analytics.model import Bucket

Start = TypeVar("Start", date, datetime)


def fill_series(
    moments: Sequence[datetime], starts: Sequence[Start], counts: Mapping[Start, tuple[int, int]]
) -> list[Bucket]:
    """A bucket for every start. A count whose start is not ours (another edition of the time zones) goes to the
    bucket before, rather than getting lost."""
    scans, visitors = [0] * len(starts), [0] * len(starts)
    for start, (scanned, visited) in counts.items():
        number = max(0, bisect_right(starts, start) - 1)
        scans[number] += scanned
        visitors[number] += visited
    return [Bucket(*each) for each in zip(moments, scans, visitors, strict=True)]

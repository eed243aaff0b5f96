"""Dates and times of day as people write them in rules.

A date is RFC 3339, or local: `YYYY-MM-DD`, `YYYY-MM-DDTHH:MM` or `YYYY-MM-DDTHH:MM:SS` in a named time zone. A local
time that the clock shows twice is the first one; one that it leaves out is as long after the gap's beginning as it is
written after it.
"""

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

_DATE = re.compile(
    r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?(?:Z|[+-]\d\d:\d\d)?)?", re.ASCII | re.IGNORECASE
)
_TIME_OF_DAY = re.compile(r"([01]\d|2[0-3]):([0-5]\d)", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LAST_NS = 2**63 - 1  # the year 2262; what a Route can hold


def parse_date(text: str, timezone: str) -> int:
    """Unix nanoseconds. Raises ValueError."""
    if _DATE.fullmatch(text) is None:
        raise ValueError("is no RFC 3339 time and no date")
    at = datetime.fromisoformat(text.upper())
    return unix_ns(at if at.tzinfo else at.replace(tzinfo=ZoneInfo(timezone)))


def parse_time_of_day(text: str) -> int:
    """Minutes from midnight. Raises ValueError."""
    found = _TIME_OF_DAY.fullmatch(text)
    if found is None:
        raise ValueError("is no time of day such as 08:30")
    return int(found[1]) * 60 + int(found[2])


def unix_ns(at: datetime) -> int:
    """A time beyond what a Route can hold is the last, or first, that it can: no clock of ours gets there."""
    ns = (at - _EPOCH) // timedelta(microseconds=1) * 1_000
    return max(-LAST_NS, min(ns, LAST_NS))

"""Moments as people and programs write them: RFC 3339 with an offset, in years that every store holds.

The bounds of a range may be dates, too: the first moment of the date in the asked zone, else in UTC.
"""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, tzinfo
from typing import Annotated

from fastapi import Depends, Query
from pydantic import Field, PlainValidator

from control_api.web.problem import invalid_parameter

EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
LATEST = datetime(9999, 1, 1, tzinfo=UTC)
NO_BOUND = "must be a date or an RFC 3339 time, such as 2026-11-01 or 2026-11-01T00:00:00Z"
# For the document.
BOUND_PATTERN = (
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}([Tt][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,9})?)?([Zz]|[+-][0-9]{2}:[0-9]{2}))?$"
)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_LOST_PLUS = re.compile(r" (?=\d{2}:\d{2}$)")  # one that was not encoded arrives as a space
_MOMENT = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?([Zz]|[+-]\d{2}:\d{2})", re.ASCII)


def parse_moment(value: object) -> datetime:
    """In UTC. Raises ValueError."""
    moment = _find_moment(value) if isinstance(value, str) else None
    if moment is None:
        raise ValueError("must be an RFC 3339 time with an offset, such as 2026-11-01T00:00:00Z")
    return _within_years(moment)


def parse_bound(value: object) -> datetime:
    """In UTC. Raises ValueError."""
    moment = find_bound(value, UTC) if isinstance(value, str) else None
    if moment is None:
        raise ValueError(NO_BOUND)
    return _within_years(moment)


def find_bound(text: str, zone: tzinfo) -> datetime | None:
    """A date's first moment in `zone`, or a moment as it is written. None: it is neither."""
    try:
        if _DATE.fullmatch(text):
            return start_of_date(date.fromisoformat(text), zone)
    except (ValueError, OverflowError):
        return None
    return _find_moment(_LOST_PLUS.sub("+", text))


def start_of_date(day: date, zone: tzinfo) -> datetime:
    """In `zone`: midnight, or the moment after it where the clocks go forward then."""
    midnight = datetime(day.year, day.month, day.day, tzinfo=zone)
    return midnight.astimezone(UTC).astimezone(zone)


def _within_years(moment: datetime) -> datetime:
    if not EARLIEST <= moment < LATEST:
        raise ValueError(f"must lie in the years {EARLIEST.year} to {LATEST.year - 1}")
    return moment.astimezone(UTC)


def _find_moment(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text.upper()) if _MOMENT.fullmatch(text) else None
    except ValueError:
        return None


# A bound as it is sent, and one that is read in UTC.
BoundText = Annotated[str, Field(json_schema_extra={"pattern": BOUND_PATTERN}, examples=["2026-11-01"])]
Bound = Annotated[datetime, PlainValidator(parse_bound, json_schema_input_type=BoundText)]
Moment = Annotated[datetime, PlainValidator(parse_moment, json_schema_input_type=datetime)]


@dataclass(frozen=True)
class TimeRange:
    """From `start` on, up to but without `end`; None: without that bound."""

    start: datetime | None = None
    end: datetime | None = None


def _asked_range(
    start: Annotated[Bound | None, Query(alias="from", description="A date in UTC, or an RFC 3339 time")] = None,
    end: Annotated[
        Bound | None, Query(alias="to", description="A date in UTC, or an RFC 3339 time; itself left out")
    ] = None,
) -> TimeRange:
    """Raises Problem."""
    if start is not None and end is not None and end <= start:
        raise invalid_parameter("to", "must be after from")
    return TimeRange(start, end)


AskedRange = Annotated[TimeRange, Depends(_asked_range)]

"""Moments as people and programs write them: RFC 3339 with an offset, in years that every store holds."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated

from fastapi import Depends, Query
from pydantic import PlainValidator

from control_api.web.problem import invalid_parameter

EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
LATEST = datetime(9999, 1, 1, tzinfo=UTC)
_MOMENT = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?([Zz]|[+-]\d{2}:\d{2})", re.ASCII)


def parse_moment(value: object) -> datetime:
    """In UTC. Raises ValueError."""
    moment = _find_moment(value) if isinstance(value, str) else None
    if moment is None:
        raise ValueError("must be an RFC 3339 time with an offset, such as 2026-11-01T00:00:00Z")
    if not EARLIEST <= moment < LATEST:
        raise ValueError(f"must lie in the years {EARLIEST.year} to {LATEST.year - 1}")
    return moment.astimezone(UTC)


def _find_moment(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text.upper()) if _MOMENT.fullmatch(text) else None
    except ValueError:
        return None


Moment = Annotated[datetime, PlainValidator(parse_moment, json_schema_input_type=datetime)]


@dataclass(frozen=True)
class TimeRange:
    """From `start` on, up to but without `end`; None: without that bound."""

    start: datetime | None = None
    end: datetime | None = None


def _asked_range(
    start: Annotated[Moment | None, Query(alias="from", description="From this time on")] = None,
    end: Annotated[Moment | None, Query(alias="to", description="Before this time")] = None,
) -> TimeRange:
    """Raises Problem."""
    if start is not None and end is not None and end <= start:
        raise invalid_parameter("to", "must be after from")
    return TimeRange(start, end)


AskedRange = Annotated[TimeRange, Depends(_asked_range)]

"""Moments as people and programs write them: RFC 3339 with an offset, in years that every store holds."""

import re
from datetime import UTC, datetime
from typing import Annotated

from pydantic import PlainValidator

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

"""What the clock on the wall shows in a time zone of the IANA database.

The database is the system's, else the one of the package `tzdata`, which also says what zones there are: the same
on every machine. A zone that is not known shows nothing.
"""

from datetime import UTC, datetime
from functools import lru_cache
from importlib.resources import files
from typing import NamedTuple
from zoneinfo import ZoneInfo

_S_PER_MINUTE = 60
_NS_PER_MINUTE = _S_PER_MINUTE * 1_000_000_000
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class LocalTime(NamedTuple):
    """`weekday` is one of WEEKDAYS; `minute` counts from midnight on the wall."""

    weekday: str
    minute: int


def is_timezone(name: str) -> bool:
    return name in _timezones()


def find_local_time(timezone: str, at_ns: int) -> LocalTime | None:
    """None when the zone, or a year so far off, is not known."""
    return _find_local_minute(timezone, at_ns // _NS_PER_MINUTE)


@lru_cache(4096)
def _find_local_minute(timezone: str, utc_minute: int) -> LocalTime | None:
    """Clocks are set at a full minute."""
    if not is_timezone(timezone):
        return None
    try:
        at = datetime.fromtimestamp(utc_minute * _S_PER_MINUTE, UTC).astimezone(ZoneInfo(timezone))
    except (ValueError, OverflowError):
        return None
    return LocalTime(WEEKDAYS[at.weekday()], at.hour * 60 + at.minute)


@lru_cache(1)
def _timezones() -> frozenset[str]:
    return frozenset(files("tzdata").joinpath("zones").read_text(encoding="ascii").split())

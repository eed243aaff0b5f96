"""The period somebody asks about, and the buckets it is cut into: pure, the clock passed in.

Ranges are half-open. A date means its first moment in the asked zone, as does a bucket of days, weeks (from
Monday) or months; where the clocks go forward at midnight, that is the moment after the change. Hours are cut at
the full hour of the zone's time at the start of the period.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

from control_api.analytics.model import Granularity, Period
from control_api.web.moment import NO_BOUND, find_bound, start_of_date

DEFAULT_DAYS = 30
MAX_DAYS = 1830
MAX_BUCKETS = 2500
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
LATEST = datetime(2200, 1, 1, tzinfo=UTC)

_DAY = timedelta(days=1)
_HOUR = timedelta(hours=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


class InvalidPeriod(ValueError):
    """`name` is the parameter that is wrong; the message says why."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(reason)
        self.name = name


def parse_period(
    start: str | None, end: str | None, timezone: str, granularity: Granularity, now: datetime
) -> Period:
    """Without `end`: until now. Without `start`: the 30 days before. Raises InvalidPeriod."""
    zone = _parse_zone(timezone)
    last = now if end is None else _parse_moment("to", end, zone)
    first = last - timedelta(days=DEFAULT_DAYS) if start is None else _parse_moment("from", start, zone)
    if first >= last:
        raise InvalidPeriod("from", "must be before `to`")
    if last - first > timedelta(days=MAX_DAYS):
        raise InvalidPeriod("from", f"must be at most {MAX_DAYS} days before `to`")
    if granularity == "hour" and last - first > MAX_BUCKETS * _HOUR:
        raise InvalidPeriod("granularity", f"hours fit periods of at most {MAX_BUCKETS // 24} days")
    return Period(first, last, zone, granularity, reaches_now=last >= now)


def unix_ms(at: datetime) -> int:
    """Rounded up: scans have whole milliseconds, and one before the bound is before the next of them."""
    return -((_EPOCH - at) // _MILLISECOND)


def previous_period(period: Period) -> Period:
    """As long, and just before: as many days where both bounds are midnights of the zone, whatever the clocks did."""
    first, last = (at.astimezone(period.zone) for at in (period.start, period.end))
    days = (last.date() - first.date()).days
    start = period.start - (period.end - period.start)
    if all(at == start_of_date(at.date(), period.zone) for at in (first, last)):
        start = start_of_date(first.date() - timedelta(days=days), period.zone).astimezone(UTC)
    return Period(start, period.start, period.zone, period.granularity)


def whole_utc_days(period: Period) -> tuple[datetime, datetime] | None:
    """From when until when the period is whole UTC days; today is one when the period reaches until now."""
    first, last = -(-(period.start - _EPOCH) // _DAY), (period.end - _EPOCH) // _DAY
    start, end = _EPOCH + first * _DAY, period.end if period.reaches_now else _EPOCH + last * _DAY
    return (start, end) if start < end else None


def hour_phase_s(period: Period) -> int:
    """By how many seconds the full hours of the zone differ from those of UTC."""
    return int(_full_hour(period).timestamp()) % 3600


def hours_of(period: Period) -> list[datetime]:
    """The starts of the period's hours, in UTC."""
    first = _full_hour(period)
    count = -((first - period.end) // _HOUR)
    return [first + number * _HOUR for number in range(count)]


def dates_of(period: Period) -> list[date]:
    """The first dates of the period's days, weeks or months, in the zone."""
    return list(_dates(period))


def _full_hour(period: Period) -> datetime:
    return period.start.astimezone(period.zone).replace(minute=0, second=0, microsecond=0).astimezone(UTC)


def _dates(period: Period) -> Iterator[date]:
    day = _first_date_of_bucket(period.start.astimezone(period.zone).date(), period.granularity)
    while start_of_date(day, period.zone) < period.end:
        yield day
        day = _next_date(day, period.granularity)


def _first_date_of_bucket(day: date, granularity: Granularity) -> date:
    match granularity:
        case "week":
            return day - timedelta(days=day.weekday())
        case "month":
            return day.replace(day=1)
        case _:
            return day


def _next_date(day: date, granularity: Granularity) -> date:
    match granularity:
        case "week":
            return day + timedelta(days=7)
        case "month":
            return (day + timedelta(days=31)).replace(day=1)
        case _:
            return day + timedelta(days=1)


def _parse_zone(name: str) -> ZoneInfo:
    if name not in _zone_names():
        raise InvalidPeriod("timezone", "is no IANA time zone")
    return ZoneInfo(name)


@cache
def _zone_names() -> frozenset[str]:
    """Read once: it walks through the zone files of the machine."""
    return frozenset(available_timezones())


def _parse_moment(name: str, text: str, zone: ZoneInfo) -> datetime:
    moment = find_bound(text, zone)
    if moment is None:
        raise InvalidPeriod(name, NO_BOUND)
    if not EARLIEST <= moment < LATEST:
        raise InvalidPeriod(name, f"must lie in the years {EARLIEST.year} to {LATEST.year - 1}")
    return moment.astimezone(UTC)

"""Whole UTC days, cut into months; and the moments that bound them in statements."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

ONE_DAY = timedelta(days=1)


@dataclass(frozen=True)
class DayRange:
    """From `first` up to `end`, which is not in it."""

    first: date
    end: date

    def __str__(self) -> str:
        return f"{self.first} to {self.end - ONE_DAY}"

    def __iter__(self) -> Iterator[date]:
        day = self.first
        while day < self.end:
            yield day
            day += ONE_DAY

    def months(self) -> Iterator["DayRange"]:
        """Its parts, each within one calendar month."""
        first = self.first
        while first < self.end:
            end = min(next_month(first), self.end)
            yield DayRange(first, end)
            first = end

    def whole_month(self) -> "DayRange":
        """The calendar month of its first day."""
        first = self.first.replace(day=1)
        return DayRange(first, next_month(first))

    def bounds(self) -> dict[str, int]:
        """As parameters of a statement."""
        return {"start_ms": start_ms(self.first), "end_ms": start_ms(self.end)}


def single(day: date) -> DayRange:
    return DayRange(day, day + ONE_DAY)


def last_days(count: int, now: datetime) -> DayRange:
    """Today, as far as it is over, and the days before."""
    today = now.astimezone(UTC).date()
    return DayRange(today - (count - 1) * ONE_DAY, today + ONE_DAY)


def start_ms(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1000


def next_month(day: date) -> date:
    return (day.replace(day=1) + timedelta(days=31)).replace(day=1)

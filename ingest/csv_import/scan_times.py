"""Moments as other systems write them.

Without a format: ISO 8601, or Unix time in seconds (9 or 10 digits, with a fraction perhaps) or milliseconds (12 or
13 digits). A time that names no zone is read in the zone that was asked for. Where the clocks go back an hour comes
twice: the first is taken, and counted as `ambiguous`. Where they go forward the times between do not exist: rejected.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from ingest.csv_import.failure import RowRejected

EPOCH_S, EPOCH_MS = "epoch", "epoch-ms"
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
AHEAD = timedelta(days=1)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_SECONDS = re.compile(r"\d{9,10}(\.\d+)?", re.ASCII)
_MILLISECONDS = re.compile(r"\d{12,13}", re.ASCII)


class TimeReader:
    """`zone_name` None: UTC. `naive`: how many times named no zone."""

    def __init__(self, zone: ZoneInfo | None, time_format: str | None, now: datetime) -> None:
        self._zone = zone
        self._parse = _parser(time_format)
        self._earliest_ms = _unix_ms(EARLIEST)
        self._latest_ms = _unix_ms(now + AHEAD)
        self.naive = 0
        self.ambiguous = 0

    def read(self, text: str) -> int:
        """Unix milliseconds. Raises RowRejected."""
        try:
            found = self._parse(text)
            at_ms = found if isinstance(found, int) else self._moment(found)
        except (ValueError, OverflowError) as error:
            if isinstance(error, RowRejected):
                raise
            raise RowRejected(f"scanned_at: {text[:40]!r} is no time of a known form") from None
        if not self._earliest_ms <= at_ms <= self._latest_ms:
            raise RowRejected(f"scanned_at: {text[:40]!r} is before {EARLIEST.year} or in the future")
        return at_ms

    def _moment(self, at: datetime) -> int:
        if at.tzinfo is not None:
            return _unix_ms(at)
        self.naive += 1
        if self._zone is None:
            return _unix_ms(at.replace(tzinfo=UTC))
        first, second = at.replace(tzinfo=self._zone, fold=0), at.replace(tzinfo=self._zone, fold=1)
        before, after = first.utcoffset(), second.utcoffset()
        if before is not None and after is not None and before != after:
            if after > before:
                raise RowRejected(f"scanned_at: the clocks of {self._zone} skipped {at}")
            self.ambiguous += 1
        return _unix_ms(first)


def _parser(time_format: str | None) -> Callable[[str], datetime | int]:
    match time_format:
        case None:
            return _parse_any
        case "epoch":
            return lambda text: int(float(text) * 1000)
        case "epoch-ms":
            return int
        case _:
            return lambda text: datetime.strptime(text, time_format)  # noqa: DTZ007 - the zone comes after


def _parse_any(text: str) -> datetime | int:
    if _SECONDS.fullmatch(text):
        seconds, _, fraction = text.partition(".")
        return int(seconds) * 1000 + int(fraction[:3].ljust(3, "0"))
    if _MILLISECONDS.fullmatch(text):
        return int(text)
    return datetime.fromisoformat(text.removesuffix(" UTC") + "Z" if text.endswith(" UTC") else text)


def _unix_ms(at: datetime) -> int:
    return (at - _EPOCH) // _MILLISECOND

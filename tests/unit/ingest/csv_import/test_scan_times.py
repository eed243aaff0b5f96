"""Times as other systems write them."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from ingest.csv_import.failure import RowRejected
from ingest.csv_import.scan_times import TimeReader

NOW = datetime(2026, 11, 25, tzinfo=UTC)
VIENNA = ZoneInfo("Europe/Vienna")


def reader(zone: ZoneInfo | None = None, time_format: str | None = None) -> TimeReader:
    return TimeReader(zone, time_format, NOW)


def ms(*parts: int) -> int:
    return int(datetime(*parts, tzinfo=UTC).timestamp() * 1000)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-03-10T09:08:07Z", ms(2026, 3, 10, 9, 8, 7)),
        ("2026-03-10 09:08:07.1239+01:00", ms(2026, 3, 10, 8, 8, 7) + 123),
        ("2026-03-10 09:08:07 UTC", ms(2026, 3, 10, 9, 8, 7)),
        ("2026-03-10", ms(2026, 3, 10)),
        ("1773133687", 1773133687000),
        ("1773133687.5", 1773133687500),
        ("999999999", 999999999000),
        ("1773133687123", 1773133687123),
    ],
)
def test_known_forms_are_read(text, expected):
    assert reader().read(text) == expected


def test_a_time_without_a_zone_is_read_in_the_one_asked_for_and_counted():
    times = reader(VIENNA)
    assert times.read("2026-07-01 12:00:00") == ms(2026, 7, 1, 10)
    assert times.read("2026-07-01 12:00:00+00:00") == ms(2026, 7, 1, 12)
    assert times.naive == 1


def test_of_an_hour_that_comes_twice_the_first_is_taken_and_counted():
    times = reader(VIENNA)
    assert times.read("2026-10-25 02:30:00") == ms(2026, 10, 25, 0, 30)
    assert times.read("2026-10-25 03:30:00") == ms(2026, 10, 25, 2, 30)
    assert times.ambiguous == 1


def test_an_hour_that_the_clocks_skipped_is_rejected():
    with pytest.raises(RowRejected, match="the clocks of Europe/Vienna skipped"):
        reader(VIENNA).read("2026-03-29 02:30:00")


@pytest.mark.parametrize(
    ("time_format", "text", "expected"),
    [
        ("%d.%m.%Y %H:%M", "10.03.2026 09:08", ms(2026, 3, 10, 8, 8)),
        ("%d/%b/%Y:%H:%M:%S %z", "10/Mar/2026:09:08:07 +0000", ms(2026, 3, 10, 9, 8, 7)),
        ("epoch", "1773133687.25", 1773133687250),
        ("epoch-ms", "1773133687123", 1773133687123),
    ],
)
def test_a_format_can_be_asked_for(time_format, text, expected):
    assert reader(VIENNA, time_format).read(text) == expected


@pytest.mark.parametrize("text", ["", "yesterday", "10.03.2026", "2026-13-01", "20261101123000", "9" * 40])
def test_what_is_no_time_is_rejected(text):
    with pytest.raises(RowRejected, match="is no time of a known form"):
        reader().read(text)


@pytest.mark.parametrize("text", ["1999-12-31T23:59:59Z", "2026-11-26T00:00:01Z", "0001-01-01"])
def test_times_long_ago_and_in_the_future_are_rejected(text):
    with pytest.raises(RowRejected, match="is before 2000 or in the future"):
        reader().read(text)


@pytest.mark.parametrize("time_format", ["epoch", "epoch-ms"])
@pytest.mark.parametrize("text", ["nan", "inf", "x"])
def test_numbers_that_are_none_are_rejected(time_format, text):
    with pytest.raises(RowRejected):
        reader(None, time_format).read(text)

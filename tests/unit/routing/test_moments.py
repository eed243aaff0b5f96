from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanhop.routing.moments import LAST_NS, parse_date, parse_time_of_day, unix_ns

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def moment(text: str) -> int:
    return (datetime.fromisoformat(text) - EPOCH) // timedelta(microseconds=1) * 1000


@pytest.mark.parametrize(
    ("text", "timezone", "at"),
    [
        ("2026-06-10", "UTC", "2026-06-10T00:00:00Z"),
        ("2026-06-10", "Europe/Vienna", "2026-06-09T22:00:00Z"),
        ("2026-01-10T08:30", "Europe/Vienna", "2026-01-10T07:30:00Z"),
        ("2026-01-10 08:30:15", "America/New_York", "2026-01-10T13:30:15Z"),
        ("2026-01-10T08:30:15Z", "America/New_York", "2026-01-10T08:30:15Z"),
        ("2026-01-10t08:30:15z", "America/New_York", "2026-01-10T08:30:15Z"),
        ("2026-01-10T08:30:15.25+05:30", "UTC", "2026-01-10T03:00:15.250000Z"),
        ("2026-01-10T08:30-08:00", "UTC", "2026-01-10T16:30:00Z"),
        ("2026-03-08T02:30", "America/New_York", "2026-03-08T07:30:00Z"),
        ("2026-11-01T01:30", "America/New_York", "2026-11-01T05:30:00Z"),
        ("2026-04-05T01:45", "Australia/Lord_Howe", "2026-04-04T14:45:00Z"),
    ],
)
def test_a_date_is_read_in_its_time_zone(text, timezone, at):
    assert parse_date(text, timezone) == moment(at)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026",
        "2026-06",
        "2026-6-1",
        "20260610",
        "2026-W24-3",
        "2026-02-30",
        "2026-06-10T",
        "2026-06-10T24:00",
        "2026-06-10T08",
        "2026-06-10T08:30:60",
        "2026-06-10T08:30Z ",
        "2026-06-10Z",
        "2026-06-10T08:30+0200",
        "2026-06-10T08:30+24:00",
        "0000-01-01",
        "\u0662026-06-10",
        "now",
    ],
)
def test_what_is_no_date_is_refused(text):
    with pytest.raises(ValueError, match=r"."):
        parse_date(text, "UTC")


@pytest.mark.parametrize("timezone", ["UTC", "Pacific/Kiritimati", "Pacific/Pago_Pago", "Europe/Vienna"])
@pytest.mark.parametrize("text", ["0001-01-01", "9999-12-31T23:59:59", "0001-01-01T00:00+23:59"])
def test_a_date_beyond_all_clocks_is_the_first_or_the_last(text, timezone):
    assert abs(parse_date(text, timezone)) == LAST_NS


@given(st.integers(-8 * 10**15, 8 * 10**15).map(lambda microseconds: EPOCH + timedelta(microseconds=microseconds)))
def test_times_are_kept_to_the_microsecond(at):
    assert EPOCH + timedelta(microseconds=unix_ns(at) // 1000) == at
    assert parse_date(at.isoformat(), "UTC") == unix_ns(at)


@pytest.mark.parametrize(("text", "minutes"), [("00:00", 0), ("08:30", 510), ("23:59", 1439)])
def test_a_time_of_day_is_read(text, minutes):
    assert parse_time_of_day(text) == minutes


@pytest.mark.parametrize(
    "text", ["", "8:30", "24:00", "23:60", "08:30:00", "0830", "08:30 ", "\u0660\u0660:00", "8pm"]
)
def test_what_is_no_time_of_day_is_refused(text):
    with pytest.raises(ValueError, match="no time of day"):
        parse_time_of_day(text)

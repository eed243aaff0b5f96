"""Periods and their buckets, in zones whose days have 23, 24 or 25 hours."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_api.analytics.period import (
    InvalidPeriod,
    dates_of,
    hour_phase_s,
    hours_of,
    parse_period,
)
from control_api.web.moment import start_of_date

NOW = datetime(2026, 11, 21, 12, 30, tzinfo=UTC)


def period(start=None, end=None, timezone="UTC", granularity="day", now=NOW):
    return parse_period(start, end, timezone, granularity, now)


def starts(asked):
    return [start_of_date(day, asked.zone).isoformat() for day in dates_of(asked)]


def test_without_bounds_it_is_the_last_30_days():
    asked = period()
    assert (asked.start, asked.end) == (NOW - timedelta(days=30), NOW)


def test_a_date_is_its_first_moment_in_the_asked_zone():
    asked = period("2026-11-01", "2026-11-02", "Asia/Kolkata")
    assert asked.start == datetime(2026, 10, 31, 18, 30, tzinfo=UTC)
    assert asked.end == datetime(2026, 11, 1, 18, 30, tzinfo=UTC)


def test_a_time_is_read_with_its_offset_even_when_the_plus_was_not_encoded():
    moment = datetime(2026, 11, 1, 10, 0, tzinfo=UTC)
    for text in (
        "2026-11-01T10:00:00Z",
        "2026-11-01T12:00:00+02:00",
        "2026-11-01t12:00 02:00",
        "2026-11-01T10:00:00.0z",
    ):
        assert period(text).start == moment


NO_MOMENTS = """yesterday 2026-13-01 2026-02-30 2026-11-01T10:00:00 20261101 2026-W01-1 1 \x00 0001-01-01
    9999-12-31 9999-12-31T23:59:59-23:59 0001-01-01T00:00:00+23:59 2026-11-01T25:00:00Z \u0662026-11-01"""


@pytest.mark.parametrize("text", ["", *NO_MOMENTS.split()])
@pytest.mark.parametrize("name", ["from", "to"])
def test_what_is_neither_a_date_nor_a_time_is_refused(name, text):
    with pytest.raises(InvalidPeriod) as refused:
        period(**{"start" if name == "from" else "end": text})
    assert refused.value.name == name


@pytest.mark.parametrize(
    "zone", ["", "Mars/Phobos", "../../etc/passwd", "/etc/localtime", "Europe", "utc\x00", "CEST"]
)
def test_an_unknown_zone_is_refused(zone):
    with pytest.raises(InvalidPeriod):
        period(timezone=zone)


@pytest.mark.parametrize(
    ("start", "end", "granularity"),
    [
        ("2026-11-02", "2026-11-02", "day"),
        ("2026-11-03", "2026-11-02", "day"),
        ("2027-01-01", None, "day"),
        ("2021-01-01", "2026-11-01", "month"),
        ("2026-06-01", "2026-11-01", "hour"),
    ],
)
def test_empty_and_endless_periods_are_refused(start, end, granularity):
    with pytest.raises(InvalidPeriod):
        period(start, end, granularity=granularity)


def test_days_around_a_change_of_the_clocks_begin_at_midnight():
    assert starts(period("2026-03-28", "2026-03-31", "Europe/Berlin")) == [
        "2026-03-28T00:00:00+01:00",
        "2026-03-29T00:00:00+01:00",
        "2026-03-30T00:00:00+02:00",
    ]


def test_a_day_without_a_midnight_begins_where_the_clocks_went_on():
    assert starts(period("2026-04-23", "2026-04-26", "Africa/Cairo"))[1] == "2026-04-24T01:00:00+03:00"


def test_a_period_within_a_day_has_that_day():
    assert starts(period("2026-11-01T10:00:00Z", "2026-11-01T11:00:00Z", "Europe/Berlin")) == [
        "2026-11-01T00:00:00+01:00"
    ]


def test_weeks_begin_on_monday_and_months_on_the_first():
    assert dates_of(period("2026-11-01", "2026-11-10", granularity="week")) == [
        date(2026, 10, 26),
        date(2026, 11, 2),
        date(2026, 11, 9),
    ]
    assert dates_of(period("2026-01-31", "2026-03-01", granularity="month")) == [date(2026, 1, 1), date(2026, 2, 1)]


def test_the_day_the_clocks_go_back_has_25_hours():
    hours = hours_of(period("2026-10-25", "2026-10-26", "Europe/Berlin", "hour"))
    assert len(hours) == 25
    assert hours[0] == datetime(2026, 10, 24, 22, 0, tzinfo=UTC)


def test_hours_of_a_zone_with_half_an_hour_begin_at_its_full_hour():
    asked = period("2026-11-01", "2026-11-02", "Asia/Kolkata", "hour")
    assert hour_phase_s(asked) == 1800
    assert hours_of(asked)[0].astimezone(asked.zone).isoformat() == "2026-11-01T00:00:00+05:30"


@given(
    st.datetimes(datetime(2010, 1, 1), datetime(2030, 1, 1)),  # noqa: DTZ001
    st.integers(1, 90 * 24 * 60),
    st.sampled_from(
        ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe", "Pacific/Apia"]
    ),
    st.sampled_from(["hour", "day", "week", "month"]),
)
def test_the_buckets_cover_the_period_in_order_and_without_gaps(start, minutes, zone, granularity):
    end = start + timedelta(minutes=minutes)
    asked = period(
        f"{start.isoformat(timespec='seconds')}Z", f"{end.isoformat(timespec='seconds')}Z", zone, granularity
    )
    found = hours_of(asked) if granularity == "hour" else [start_of_date(day, asked.zone) for day in dates_of(asked)]
    assert found == sorted(found)
    assert found[0] <= asked.start
    assert found[-1] < asked.end
    assert len(found) == 1 or found[1] > asked.start

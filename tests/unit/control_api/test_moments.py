"""Moments as they are sent."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_api.web.moment import EARLIEST, LATEST, parse_bound, parse_moment

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    ["2026-11-01T12:00:00Z", "2026-11-01t12:00z", "2026-11-01 14:00:00.000+02:00", "2026-11-01T06:30:00.0-05:30"],
)
def test_a_moment_is_read_with_its_offset_and_kept_in_utc(text):
    assert parse_moment(text) == NOON
    assert parse_moment(text).tzinfo is UTC


@pytest.mark.parametrize(
    "value",
    [
        "2026-11-01T12:00:00",
        "2026-11-01",
        "20261101T120000Z",
        "2026-W44-7T12:00:00Z",
        "2026-02-30T00:00:00Z",
        "2026-11-01T24:00:00Z",
        "2026-11-01T12:00:00+24:00",
        "\u0662026-11-01T12:00:00Z",
        "2026-11-01T12:00:00Z\n",
        "1969-12-31T23:59:59Z",
        "9999-01-01T00:00:00Z",
        "9999-12-31T23:59:59.999999-23:59",
        "0001-01-01T00:00:00+23:59",
        "",
        1793534400,
        None,
        True,
        [],
    ],
)
def test_what_is_no_moment_or_beyond_the_years_is_refused(value):
    with pytest.raises(ValueError, match="must"):
        parse_moment(value)


def test_a_bound_may_be_a_date_too_and_have_lost_its_plus():
    assert parse_bound("2026-11-01") == datetime(2026, 11, 1, tzinfo=UTC)
    assert parse_bound("2026-11-01T14:00:00 02:00") == parse_bound("2026-11-01 12:00:00Z") == NOON
    for wrong in ("2026-11-31", "2026-11-1", "1969-12-31", "9999-12-31", "", 20261101, None):
        with pytest.raises(ValueError, match="must"):
            parse_bound(wrong)


@given(st.text())
def test_any_text_is_a_moment_or_refused(text):
    try:
        assert EARLIEST <= parse_moment(text) < LATEST
    except ValueError:
        return


@given(st.datetimes(datetime(1971, 1, 1), datetime(9998, 12, 30)), st.integers(-1439, 1439))  # noqa: DTZ001
def test_every_moment_of_every_offset_is_read_back(naive, minutes):
    moment = naive.replace(tzinfo=UTC)
    sign, (hours, rest) = "-" if minutes < 0 else "+", divmod(abs(minutes), 60)
    local = (moment + timedelta(minutes=minutes)).replace(tzinfo=None).isoformat()
    assert parse_moment(f"{local}{sign}{hours:02}:{rest:02}") == moment

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanhop.routing.local_time import WEEKDAYS, LocalTime, find_local_time, is_timezone

NAMES = ["Europe/Vienna", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "America/St_Johns", "UTC"]


@given(st.sampled_from(NAMES), st.integers(315_532_800, 7_258_118_400))
def test_the_wall_shows_what_the_time_zone_says_to_the_minute(name, at_s):
    local = datetime.fromtimestamp(at_s, ZoneInfo(name))
    assert find_local_time(name, at_s * 1_000_000_000) == LocalTime(
        WEEKDAYS[local.weekday()], local.hour * 60 + local.minute
    )


@pytest.mark.parametrize("name", ["Europe/Vienna", "Asia/Calcutta", "Etc/GMT+5", "UTC", "America/Argentina/Ushuaia"])
def test_names_of_the_database_are_time_zones(name):
    assert is_timezone(name)


@pytest.mark.parametrize(
    "name", ["", "Vienna", "europe/vienna", "CEST", "../UTC", "/etc/passwd", "right/UTC", "UTC\0"]
)
def test_others_are_none_and_show_nothing(name):
    assert not is_timezone(name)
    assert find_local_time(name, 0) is None


@pytest.mark.parametrize("at_ns", [2**70, -(2**70), 2**100])
def test_a_year_that_no_calendar_has_shows_nothing(at_ns):
    assert find_local_time("Europe/Vienna", at_ns) is None

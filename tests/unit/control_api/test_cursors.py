"""Cursors survive the way to the client and back; others are refused."""

from contextlib import suppress
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_api.web.paging import Cursor, encode_cursor, page_from, parse_cursor
from control_api.web.problem import Problem

MOMENTS = st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


@given(MOMENTS, st.uuids())
def test_a_cursor_comes_back_as_it_was(created_at, object_id):
    cursor = Cursor(created_at, object_id)
    assert parse_cursor(encode_cursor(cursor)) == cursor


@given(st.text(max_size=60) | st.binary(max_size=40).map(bytes.hex))
def test_any_other_text_is_a_problem_or_a_cursor_but_never_a_crash(text):
    with suppress(Problem):
        parse_cursor(text)


@pytest.mark.parametrize("text", ["", "x", "AAAA", "A" * 31, "\x00", "ü" * 32, "f" * 33, "f9" + "9" * 30])
def test_texts_that_are_no_cursors_are_refused(text):
    with pytest.raises(Problem) as refused:
        parse_cursor(text)
    assert refused.value.kind.code == "bad_cursor"


def test_the_last_page_has_no_cursor_and_the_others_name_their_last_object():
    found = [Cursor(datetime(2026, 1, day, tzinfo=UTC), UUID(int=day)) for day in (3, 2, 1)]
    first = page_from(found, 2, lambda each: each)
    assert list(first.items) == found[:2]
    assert parse_cursor(first.next_cursor) == found[1]
    assert page_from(found, 3, lambda each: each).next_cursor is None
    assert page_from([], 3, lambda each: each).next_cursor is None

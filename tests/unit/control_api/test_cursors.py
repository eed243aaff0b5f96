"""Cursors survive the way to the client and back; others are refused."""

import base64
from contextlib import suppress
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_api.web.paging import Cursor, PageRequest, encode_cursor, page_from, parse_cursor
from control_api.web.problem import Problem

LIST = b"\0" * 8
TOO_LATE = base64.b64encode(b"\x7f" + b"\xff" * 23 + LIST).decode()
MOMENTS = st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


@given(MOMENTS, st.uuids())
def test_a_cursor_comes_back_as_it_was(created_at, object_id):
    cursor = Cursor(created_at, object_id)
    assert parse_cursor(encode_cursor(cursor, LIST), LIST) == cursor


@given(st.text(max_size=60) | st.binary(max_size=40).map(bytes.hex))
def test_any_other_text_is_a_problem_or_a_cursor_but_never_a_crash(text):
    with suppress(Problem):
        parse_cursor(text, LIST)


@pytest.mark.parametrize("text", ["", "x", "AAAA", "A" * 31, "A" * 32, "\x00", "ü" * 44, "f" * 44, TOO_LATE])
def test_texts_that_are_no_cursors_are_refused(text):
    with pytest.raises(Problem) as refused:
        parse_cursor(text, LIST)
    assert refused.value.kind.code == "bad_cursor"


def test_the_cursor_of_another_list_is_refused():
    cursor = encode_cursor(Cursor(datetime(2026, 1, 1, tzinfo=UTC), UUID(int=1)), LIST)
    with pytest.raises(Problem) as refused:
        parse_cursor(cursor, b"another!")
    assert refused.value.kind.code == "bad_cursor"


def test_the_last_page_has_no_cursor_and_the_others_name_their_last_object():
    found = [Cursor(datetime(2026, 1, day, tzinfo=UTC), UUID(int=day)) for day in (3, 2, 1)]
    first = page_from(found, PageRequest(2, None, LIST), lambda each: each)
    assert list(first.items) == found[:2]
    assert parse_cursor(first.next_cursor, LIST) == found[1]
    assert page_from(found, PageRequest(3, None, LIST), lambda each: each).next_cursor is None
    assert page_from([], PageRequest(3, None, LIST), lambda each: each).next_cursor is None

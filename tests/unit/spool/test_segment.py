from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanhop.spool.segment import (
    HEADER_SIZE,
    OPEN,
    SEALED,
    SegmentName,
    SpoolId,
    UnreadableSegment,
    check_header,
    encode_header,
    list_segments,
)

SPOOL_ID = SpoolId(UUID("01931b2e-0000-7000-8000-000000000001"))
names = st.builds(SegmentName, st.uuids().map(SpoolId), st.integers(0, 2**32 - 1))
times = st.integers(0, 2**64 - 1)


@given(names, times, st.binary(max_size=50))
def test_a_header_is_that_of_its_segment(name, created_at_ns, frames):
    header = encode_header(name, created_at_ns)
    assert len(header) == HEADER_SIZE
    check_header(header + frames, name)


@given(names, names, times)
def test_a_header_is_that_of_no_other_segment(name, other, created_at_ns):
    if name != other:
        with pytest.raises(UnreadableSegment, match="another segment"):
            check_header(encode_header(name, created_at_ns), other)


@given(names, times, st.integers(0, HEADER_SIZE - 1))
def test_a_header_cut_short_is_unreadable(name, created_at_ns, end):
    with pytest.raises(UnreadableSegment, match="shorter"):
        check_header(encode_header(name, created_at_ns)[:end], name)


@given(names, times, st.integers(0, HEADER_SIZE * 8 - 1))
def test_a_header_with_one_wrong_bit_is_damaged(name, created_at_ns, bit):
    header = bytearray(encode_header(name, created_at_ns))
    header[bit // 8] ^= 1 << bit % 8
    with pytest.raises(UnreadableSegment, match="damaged"):
        check_header(bytes(header), name)


@given(names, st.binary(min_size=HEADER_SIZE, max_size=HEADER_SIZE + 20))
def test_any_other_bytes_are_unreadable(name, data):
    with pytest.raises(UnreadableSegment):
        check_header(data, name)


def test_the_files_of_a_segment_differ_by_suffix(tmp_path):
    name = SegmentName(SPOOL_ID, 7)
    assert name.path(tmp_path, SEALED) == tmp_path / str(SPOOL_ID) / "00000007.sealed"


def test_segments_are_listed_in_order_whatever_the_length_of_their_numbers(tmp_path):
    for number in (10, 2, 100_000_000, 99_999_999):
        path = SegmentName(SPOOL_ID, number).path(tmp_path, SEALED)
        path.parent.mkdir(exist_ok=True)
        path.touch()
    assert [name.number for name in list_segments(tmp_path, SPOOL_ID, SEALED)] == [2, 10, 99_999_999, 100_000_000]


def test_only_segments_with_the_suffix_are_listed(tmp_path):
    directory = tmp_path / str(SPOOL_ID)
    directory.mkdir()
    for file in ("00000001.open", "00000002.sealed", "writer.lock", "notes.sealed", "\u00b2.sealed", ".sealed"):
        (directory / file).touch()
    assert list_segments(tmp_path, SPOOL_ID, SEALED) == [SegmentName(SPOOL_ID, 2)]
    assert list_segments(tmp_path, SPOOL_ID, OPEN) == [SegmentName(SPOOL_ID, 1)]


def test_a_directory_that_is_not_there_has_no_segments(tmp_path):
    assert list_segments(tmp_path, SpoolId(uuid4()), SEALED) == []

import struct
from pathlib import Path
from uuid import UUID
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanhop.spool import Damage, SegmentContent, SegmentName, SpoolId, read_segment
from scanhop.spool.frame import FRAME_HEAD, MARK, encode_frame
from scanhop.spool.segment import HEADER_SIZE, UnreadableSegment, encode_header

NAME = SegmentName(SpoolId(UUID("01931b2e-0000-7000-8000-000000000001")), 1)
HEADER = encode_header(NAME, 1)
RECORDS = [(0, b"first"), (1, b""), (2, MARK + b"third"), (3, b"fourth" * 10)]

record_lists = st.lists(st.binary(max_size=60) | st.just(b"a" + MARK), max_size=8).map(
    lambda found: list(enumerate(found))
)


def segment(records: list[tuple[int, bytes]]) -> bytes:
    return HEADER + b"".join(encode_frame(number, payload) for number, payload in records)


def ends_of(records: list[tuple[int, bytes]]) -> list[int]:
    """Where each record ends in the file."""
    ends, at = [], HEADER_SIZE
    for _, payload in records:
        at += FRAME_HEAD.size + len(payload)
        ends.append(at)
    return ends


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("segments") / "00000001.sealed"


def read(file: Path, data: bytes) -> SegmentContent:
    file.write_bytes(data)
    return read_segment(file, NAME)


@given(records=record_lists)
def test_a_segment_is_read_as_it_was_written(file, records):
    data = segment(records)
    assert read(file, data) == SegmentContent(records, [], data)


@given(numbers=st.lists(st.integers(0, 2**32 - 1), max_size=5))
def test_record_numbers_are_kept(file, numbers):
    records = [(number, b"x") for number in numbers]
    assert read(file, segment(records)).records == records


@given(records=record_lists, data=st.data())
def test_a_segment_cut_short_anywhere_gives_exactly_the_whole_records_before(file, records, data):
    whole = segment(records)
    cut = data.draw(st.integers(0, len(whole)))
    ends = [HEADER_SIZE, *ends_of(records)]
    kept = sum(end <= cut for end in ends) - 1
    content = read(file, whole[:cut])
    assert content.records == (records[:kept] if kept >= 0 else [])
    torn = cut not in (0, *ends)
    assert content.damages == ([Damage(ends[kept] if kept >= 0 else 0, cut, is_tail=True)] if torn else [])


def test_every_single_wrong_bit_loses_at_most_the_record_it_is_in(file):
    whole = segment(RECORDS)
    ends = ends_of(RECORDS)
    for bit in range(len(whole) * 8):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        hit = None if bit // 8 < HEADER_SIZE else sum(end <= bit // 8 for end in ends)
        content = read(file, bytes(damaged))
        assert content.records == [record for place, record in enumerate(RECORDS) if place != hit]
        assert len(content.damages) == 1


@given(records=record_lists, start=st.integers(0), length=st.integers(1, 40), filler=st.integers(0, 255))
def test_overwritten_bytes_never_give_a_record_that_was_not_written(file, records, start, length, filler):
    whole = bytearray(segment(records))
    start %= len(whole)
    end = min(start + length, len(whole))
    whole[start:end] = bytes((filler,)) * (end - start)
    content = read(file, bytes(whole))
    assert set(content.records) <= set(records)
    untouched = [
        record
        for record, record_end in zip(records, ends_of(records), strict=True)
        if record_end <= start or record_end - FRAME_HEAD.size - len(record[1]) >= end
    ]
    assert [record for record in content.records if record in untouched] == untouched


@given(data=st.binary(max_size=300))
def test_garbage_is_one_damage_from_end_to_end(file, data):
    content = read(file, data)
    assert content.records == []
    assert content.damages == ([Damage(0, len(data), is_tail=True)] if data else [])


@given(records=record_lists, garbage=st.binary(min_size=1, max_size=40), place=st.integers(0, 8))
def test_garbage_between_records_is_set_aside_and_costs_none(file, records, garbage, place):
    at = [HEADER_SIZE, *ends_of(records)][min(place, len(records))]
    whole = segment(records)
    content = read(file, whole[:at] + garbage + whole[at:])
    assert content.records == records
    assert content.damages == [Damage(at, at + len(garbage), is_tail=at == len(whole))]


def test_an_empty_file_is_no_damage(file):
    assert read(file, b"") == SegmentContent([], [], b"")


def test_a_header_alone_is_no_damage(file):
    assert read(file, HEADER) == SegmentContent([], [], HEADER)


def test_a_torn_header_is_a_torn_tail(file):
    assert read(file, HEADER[:10]).damages == [Damage(0, 10, is_tail=True)]


def test_records_behind_a_damaged_header_are_read(file):
    content = read(file, bytes(HEADER_SIZE) + segment(RECORDS)[HEADER_SIZE:])
    assert content.records == RECORDS
    assert content.damages == [Damage(0, HEADER_SIZE, is_tail=False)]


def test_two_damaged_places_are_two_damages(file):
    frames = [encode_frame(number, payload) for number, payload in RECORDS]
    content = read(file, HEADER + b"?" + frames[0] + b"??" + frames[1] + frames[2])
    assert [number for number, _ in content.records] == [0, 1, 2]
    assert [(damage.end - damage.start, damage.is_tail) for damage in content.damages] == [(1, False), (2, False)]


def test_a_segment_of_a_newer_format_is_left_to_a_newer_version(file):
    head = struct.pack("<8sH16sIQ", b"SCANHOP\n", 2, NAME.spool_id.bytes, NAME.number, 1)
    file.write_bytes(head + struct.pack("<I", crc32(head)) + b"whatever")
    with pytest.raises(UnreadableSegment, match="format 2"):
        read_segment(file, NAME)


def test_a_segment_under_the_name_of_another_is_read_nevertheless(file):
    other = SegmentName(NAME.spool_id, 2)
    file.write_bytes(segment(RECORDS))
    content = read_segment(file, other)
    assert content.records == RECORDS
    assert content.damages == [Damage(0, HEADER_SIZE, is_tail=False)]


def test_a_file_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_segment(tmp_path / "none", NAME)

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanhop.spool.frame import FRAME_HEAD, MARK, MAX_PAYLOAD, encode_frame, find_frame

numbers = st.integers(0, 2**32 - 1)
payloads = st.binary(max_size=200) | st.lists(st.sampled_from([MARK, b"\xf5", b"S", b"R\n", b"x"])).map(b"".join)


@given(numbers, payloads)
def test_a_frame_is_found_where_it_was_written(number, payload):
    frame = encode_frame(number, payload)
    assert find_frame(frame, 0) == (0, len(frame), number)
    assert frame[FRAME_HEAD.size :] == payload


@given(st.binary(max_size=100), numbers, payloads, st.binary(max_size=100))
def test_a_frame_is_found_between_other_bytes(before, number, payload, after):
    frame = encode_frame(number, payload)
    assert find_frame(before + frame + after, 0) == (len(before), len(before) + len(frame), number)


@given(st.binary(max_size=100).map(lambda data: data + MARK), numbers, payloads)
def test_a_frame_is_found_behind_a_mark_that_begins_none(before, number, payload):
    frame = encode_frame(number, payload)
    assert find_frame(before + frame, 0) == (len(before), len(before) + len(frame), number)


@pytest.mark.parametrize("payload", [MARK, MARK * 10, b"x" + MARK + bytes(12) + b"x", encode_frame(7, b"inner")])
def test_a_mark_inside_a_payload_is_no_problem(payload):
    one, two = encode_frame(1, payload), encode_frame(2, b"next")
    assert find_frame(one + two, 0) == (0, len(one), 1)
    assert find_frame(one + two, len(one)) == (len(one), len(one + two), 2)


@given(numbers, payloads)
def test_a_frame_cut_short_anywhere_is_none(number, payload):
    frame = encode_frame(number, payload)
    for end in range(len(frame)):
        found = find_frame(frame[:end], 0)
        assert found is None or found[0] > 0  # a frame that the payload happens to hold


@given(numbers, payloads, st.data())
def test_a_frame_with_one_wrong_bit_is_none(number, payload, data):
    frame = bytearray(encode_frame(number, payload))
    bit = data.draw(st.integers(0, len(frame) * 8 - 1))
    frame[bit // 8] ^= 1 << bit % 8
    assert find_frame(bytes(frame), 0) is None


@given(st.binary(max_size=500), st.integers(0, 600))
def test_any_bytes_can_be_searched(data, at):
    found = find_frame(data, at)
    assert found is None or at <= found[0] < found[1] <= len(data)


def test_a_payload_of_the_greatest_size_is_found():
    frame = encode_frame(0, bytes(MAX_PAYLOAD))
    assert find_frame(frame, 0) == (0, len(frame), 0)


def test_a_frame_that_claims_more_than_the_greatest_size_is_none():
    assert find_frame(encode_frame(0, bytes(MAX_PAYLOAD + 1)), 0) is None


def test_a_search_begins_where_it_is_told_to():
    frame = encode_frame(0, b"a")
    assert find_frame(frame, 1) is None


def test_the_mark_can_stand_in_no_header_of_a_request_and_in_no_text():
    assert b"\n" in MARK
    with pytest.raises(UnicodeDecodeError):
        MARK.decode()


def test_a_mark_before_zeroed_bytes_is_no_frame():
    assert find_frame(MARK + bytes(100), 0) is None


def test_the_bytes_of_a_frame_never_change():
    assert encode_frame(0, b"") == b"\xf5SR\n" + bytes(4) + b"\1\0\0\0" + bytes(4)
    assert encode_frame(258, b"scan") == b"\xf5SR\n\x04\x00\x00\x00wv\xc4\xd7\x02\x01\x00\x00scan"

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.native_format import (
    Column,
    bools,
    encode_block,
    int64s,
    numbered_uuids,
    strings,
    texts,
    uint64s,
    uuids,
)
from tests.unit.ingest.native_decoder import NativeDecoder

rows = st.lists(
    st.tuples(
        st.binary(max_size=300),
        st.uuids(),
        st.integers(0, 2**64 - 1),
        st.integers(-(2**63), 2**63 - 1),
        st.booleans(),
    ),
    max_size=20,
)


@given(rows)
def test_a_block_read_back_is_what_was_written(found):
    columns = [
        Column("text", "String", strings(row[0] for row in found)),
        Column("id", "UUID", uuids(row[1].bytes for row in found)),
        Column("number", "UInt64", uint64s([row[2] for row in found])),
        Column("time", "DateTime64(3, 'UTC')", int64s([row[3] for row in found])),
        Column("flag", "Bool", bools(row[4] for row in found)),
    ]
    types, values = NativeDecoder(encode_block(columns, len(found))).block()
    assert types == {column.name: column.type for column in columns}
    assert list(zip(*values.values(), strict=True)) == found


@pytest.mark.parametrize("size", [0, 1, 127, 128, 129, 16_383, 16_384, 70_000, 2_097_152])
def test_the_length_of_a_string_is_a_varint(size):
    _, values = NativeDecoder(encode_block([Column("a", "String", strings([b"x" * size]))], 1)).block()
    assert values == {"a": [b"x" * size]}


def test_many_rows_are_counted_in_a_varint():
    block = encode_block([Column("a", "Bool", bools([True] * 50_000))], 50_000)
    assert NativeDecoder(block).block()[1] == {"a": [True] * 50_000}


def test_a_block_without_rows_has_its_columns():
    assert NativeDecoder(encode_block([Column("a", "UUID", uuids([]))], 0)).block() == ({"a": "UUID"}, {"a": []})


def test_the_bytes_of_a_block_are_those_of_the_format():
    block = encode_block(
        [
            Column("s", "String", strings([b"ab"])),
            Column("u", "UUID", uuids([UUID("00112233-4455-6677-8899-aabbccddeeff").bytes])),
            Column("n", "UInt64", uint64s([258])),
        ],
        1,
    )
    assert block == (
        b"\x03\x01"
        b"\x01s\x06String\x02ab"
        b"\x01u\x04UUID\x77\x66\x55\x44\x33\x22\x11\x00\xff\xee\xdd\xcc\xbb\xaa\x99\x88"
        b"\x01n\x06UInt64\x02\x01\0\0\0\0\0\0"
    )


@pytest.mark.parametrize("number", [-1, 2**64])
def test_a_number_that_does_not_fit_is_refused(number):
    with pytest.raises(OverflowError):
        uint64s([number])


@given(
    st.lists(st.sampled_from(["", "de", "caf\u00e9", "x" * 200]) | st.text(st.characters(exclude_categories=["Cs"])))
)
def test_texts_are_strings_in_utf8(values):
    assert texts(values) == strings(value.encode() for value in values)


@given(st.binary(min_size=12, max_size=12), st.lists(st.integers(0, 2**32 - 1), max_size=5))
def test_numbered_uuids_end_with_their_number(first, numbers):
    assert numbered_uuids(first, numbers) == uuids(first + number.to_bytes(4) for number in numbers)

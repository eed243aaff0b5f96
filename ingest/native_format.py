"""ClickHouse's Native format, the writing of one block, for the column types of a scan.

A block is the number of columns and of rows (varints), then for each column its name, its type and its values
(ClickHouse documentation, "Native" in Formats; "Native protocol, Columns"). A string is a varint length and bytes; a
UUID is its two 8-byte halves, each little-endian; numbers are little-endian.
"""

from array import array
from collections.abc import Iterable, Sequence
from typing import NamedTuple


class Column(NamedTuple):
    """`type` as ClickHouse writes it; `values` are encoded."""

    name: str
    type: str
    values: bytes


def encode_block(columns: Iterable[Column], rows: int) -> bytearray:
    """Columns may be made one by one: beside a large block, only one of them is then held."""
    block, count = bytearray(1) + _varint(rows), 0
    for count, column in enumerate(columns, 1):  # noqa: B007 - the last one is the number of columns
        block += encode_string(column.name.encode()) + encode_string(column.type.encode())
        block += column.values
    block[:1] = _varint(count)
    return block


def strings(values: Iterable[bytes]) -> bytes:
    return b"".join([encode_string(value) for value in values])


def texts(values: Iterable[str]) -> bytes:
    """Strings of which many are equal: each is encoded once."""
    encoded = _EncodedTexts()
    return b"".join(map(encoded.__getitem__, values))


def uuids(values: Iterable[bytes]) -> bytes:
    """`values` in network order, 16 bytes each."""
    return b"".join([encode_uuid(value) for value in values])


def numbered_uuids(first: bytes, numbers: Sequence[int]) -> bytes:
    """UUIDs that begin with the 12 bytes `first` and end with a number of 32 bits."""
    words = array("I", encode_uuid(first + bytes(4))) * len(numbers)
    words[2::4] = array("I", numbers)
    return words.tobytes()


def uint64s(values: Sequence[int]) -> bytes:
    return array("Q", values).tobytes()


def int64s(values: Sequence[int]) -> bytes:
    return array("q", values).tobytes()


def bools(values: Iterable[bool]) -> bytes:
    return bytes(values)


def encode_string(value: bytes) -> bytes:
    size = len(value)
    return (bytes((size,)) if size < 0x80 else _varint(size)) + value


def encode_uuid(value: bytes) -> bytes:
    return value[7::-1] + value[:7:-1]


class _EncodedTexts(dict[str, bytes]):
    def __missing__(self, value: str) -> bytes:
        encoded = self[value] = encode_string(value.encode())
        return encoded


def _varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)

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


def encode_block(columns: Sequence[Column], rows: int) -> bytes:
    parts = [_varint(len(columns)), _varint(rows)]
    for column in columns:
        parts += [_string(column.name.encode()), _string(column.type.encode()), column.values]
    return b"".join(parts)


def strings(values: Iterable[bytes]) -> bytes:
    return b"".join(
        [bytes((len(value),)) + value if len(value) < 0x80 else _varint(len(value)) + value for value in values]
    )


def uuids(values: Iterable[bytes]) -> bytes:
    """`values` in network order, 16 bytes each."""
    return b"".join([value[7::-1] + value[:7:-1] for value in values])


def uint64s(values: Sequence[int]) -> bytes:
    return array("Q", values).tobytes()


def int64s(values: Sequence[int]) -> bytes:
    return array("q", values).tobytes()


def bools(values: Iterable[bool]) -> bytes:
    return bytes(values)


def _string(value: bytes) -> bytes:
    return _varint(len(value)) + value


def _varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)

"""Reads one block of ClickHouse's Native format back, written from the format's description."""

import struct
from uuid import UUID


class NativeDecoder:
    """Walks over the bytes of one block."""

    def __init__(self, data: bytes | bytearray) -> None:
        self._data = bytes(data)
        self._at = 0

    def block(self) -> tuple[dict[str, str], dict[str, list[object]]]:
        """(types, values) by column name. The block must end where the data ends."""
        columns, rows = self._varint(), self._varint()
        types: dict[str, str] = {}
        values: dict[str, list[object]] = {}
        for _ in range(columns):
            name, kind = self._text(), self._text()
            assert name not in types
            types[name] = kind
            values[name] = [self._value(kind) for _ in range(rows)]
        assert self._at == len(self._data)
        return types, values

    def _value(self, kind: str) -> object:
        if kind == "String":
            return self._take(self._varint())
        if kind == "UUID":
            high, low = struct.unpack("<QQ", self._take(16))
            return UUID(int=high << 64 | low)
        if kind == "UInt64":
            return struct.unpack("<Q", self._take(8))[0]
        if kind == "DateTime64(3, 'UTC')":
            return struct.unpack("<q", self._take(8))[0]
        assert kind == "Bool", kind
        return {b"\0": False, b"\1": True}[self._take(1)]

    def _text(self) -> str:
        return self._take(self._varint()).decode()

    def _varint(self) -> int:
        value, shift = 0, 0
        while True:
            byte = self._take(1)[0]
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    def _take(self, size: int) -> bytes:
        taken = self._data[self._at : self._at + size]
        assert len(taken) == size
        self._at += size
        return taken


def rows_of(body: bytes | bytearray) -> list[dict[str, object]]:
    _, values = NativeDecoder(body).block()
    return [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)]

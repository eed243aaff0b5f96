"""The frame around one record, and the search for the next one behind damaged bytes."""

import struct

from isal.isal_zlib import crc32

MARK = b"\xf5SR\n"
MAX_PAYLOAD = 64 * 1024
FRAME_HEAD = struct.Struct("<4sIII")


def encode_frame(record_number: int, payload: bytes) -> bytes:
    return encode_frame_head(record_number, payload) + payload


def encode_frame_head(record_number: int, payload: bytes) -> bytes:
    """What stands before `payload` in the file."""
    return FRAME_HEAD.pack(MARK, len(payload), crc32(payload, record_number + 1), record_number)


def find_frame(data: bytes, at: int) -> tuple[int, int, int] | None:
    """The first sound frame at or behind `at`: (where it begins, where it ends, its record number)."""
    while (start := data.find(MARK, at)) >= 0:
        end_and_number = _check_frame(data, start)
        if end_and_number is not None:
            return start, *end_and_number
        at = start + 1
    return None


def _check_frame(data: bytes, start: int) -> tuple[int, int] | None:
    payload_start = start + FRAME_HEAD.size
    if payload_start > len(data):
        return None
    _, length, crc, number = FRAME_HEAD.unpack_from(data, start)
    end = payload_start + length
    if length > MAX_PAYLOAD or end > len(data) or _checksum(data[payload_start:end], number) != crc:
        return None
    return end, number


def _checksum(payload: bytes, record_number: int) -> int:
    """Never zero for the empty record 0: a mark before zeroed bytes, as a power cut leaves them, is no frame."""
    return crc32(payload, record_number + 1)

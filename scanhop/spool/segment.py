"""Segments: their file names, their header, and the ids that follow from both."""

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import NewType
from uuid import UUID

from isal.isal_zlib import crc32

SpoolId = NewType("SpoolId", UUID)

FORMAT = 1
OPEN, SEALED, BATCH, ACKED, PARKED = ".open", ".sealed", ".batch", ".acked", ".parked"
DAMAGED, REJECTED = ".damaged", ".rejected"
WRITER_LOCK = "writer.lock"
READER_LOCK = "reader.lock"

_MAGIC = b"SCANHOP\n"
_HEADER = struct.Struct("<8sH16sIQ")
_CRC = struct.Struct("<I")
HEADER_SIZE = _HEADER.size + _CRC.size


class UnreadableSegment(Exception):
    """The header is not one of ours, or of a format that this version does not know."""


@dataclass(frozen=True, order=True)
class SegmentName:
    """One segment of one spool directory; the files that belong to it differ by suffix."""

    spool_id: SpoolId
    number: int

    def path(self, root: Path, suffix: str) -> Path:
        return root / str(self.spool_id) / f"{self.number:08d}{suffix}"


def encode_header(name: SegmentName, created_at_ns: int) -> bytes:
    header = _HEADER.pack(_MAGIC, FORMAT, name.spool_id.bytes, name.number, created_at_ns)
    return header + _CRC.pack(crc32(header))


def check_header(data: bytes, name: SegmentName) -> None:
    """Raises UnreadableSegment unless `data` begins with the header of the segment `name`."""
    if len(data) < HEADER_SIZE:
        raise UnreadableSegment("shorter than a header")
    magic, version, spool_id, number, _ = _HEADER.unpack_from(data)
    (crc,) = _CRC.unpack_from(data, _HEADER.size)
    if magic != _MAGIC or crc != crc32(data[: _HEADER.size]):
        raise UnreadableSegment("damaged header")
    if version != FORMAT:
        raise UnreadableSegment(f"format {version} is not known to this version")
    if (spool_id, number) != (name.spool_id.bytes, name.number):
        raise UnreadableSegment("the header names another segment")


def list_segments(root: Path, spool_id: SpoolId, suffix: str) -> list[SegmentName]:
    """The segments that have a file with `suffix`, in order."""
    stems = (path.stem for path in (root / str(spool_id)).glob(f"*{suffix}"))
    return sorted(SegmentName(spool_id, int(stem)) for stem in stems if stem.isascii() and stem.isdigit())

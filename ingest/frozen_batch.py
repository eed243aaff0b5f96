"""The frozen insert of one segment: its complete body, its settings and its token, on disk before the first try.

A file is one line and the Native body. The line is the CRC-32 of its JSON (8 hex digits), a space and the JSON of the
BatchHeader, in which the CRC-32 of the body stands. The file is written under another name, fsynced and renamed, so a
`.batch` file is whole or absent.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

import msgspec
from isal.isal_zlib import crc32

from scanhop.spool import SegmentName
from scanhop.spool.durable_file import write_durably
from scanhop.spool.segment import UnreadableSegment

FORMAT = 1
_CHECKSUM_SIZE = 9

# What makes one body one block on the server, and the token hold for the rollups too. They are stored with the
# batch: a retry under other settings would not be recognised as the same insert.
INSERT_SETTINGS: dict[str, int] = {
    "async_insert": 0,
    "insert_deduplicate": 1,
    "deduplicate_blocks_in_dependent_materialized_views": 1,
    "max_insert_block_size": 1_048_449,
    "min_insert_block_size_rows": 1_048_449,
    "min_insert_block_size_bytes": 268_402_944,
    "input_format_parallel_parsing": 0,
    "max_insert_threads": 1,
}


class DamagedBatch(Exception):
    """The frozen file is not what was written."""


class BatchHeader(msgspec.Struct, frozen=True):
    """What is sent, and what `scan_batches` will say of it. Times are Unix nanoseconds.

    `replayed`: the numbers of the records, where they had been rejected before (`ingest.replay`).
    """

    format: int
    batch_id: UUID
    spool_id: UUID
    segment: int
    table: str
    columns: list[str]
    settings: dict[str, int]
    rows: int
    scans: int
    damaged: int
    first_scan_at_ns: int
    last_scan_at_ns: int
    frozen_at_ns: int
    body_crc: int
    replayed: list[int] = []

    @property
    def token(self) -> str:
        return str(self.batch_id)


def batch_id(name: SegmentName) -> UUID:
    """Always the same for one segment (a UUIDv8, RFC 9562); the last four bytes are zero, room for record numbers."""
    digest = bytearray(hashlib.sha256(name.spool_id.bytes + name.number.to_bytes(4)).digest()[:12] + bytes(4))
    digest[6] = digest[6] & 0x0F | 0x80
    digest[8] = digest[8] & 0x3F | 0x80
    return UUID(bytes=bytes(digest))


def replay_batch_id(segments: UUID, numbers: Sequence[int]) -> UUID:
    """Of a batch of records that the segment's own batch left out; a record is in one batch only."""
    return UUID(bytes=segments.bytes[:12] + (min(numbers) + 1).to_bytes(4))


def write_batch(path: Path, header: BatchHeader, body: bytes | bytearray) -> None:
    """Durable when it returns. Raises OSError, and leaves nothing under `path`."""
    encoded = msgspec.json.encode(header)
    write_durably(path, _checksum(encoded) + encoded + b"\n" + body)


def read_batch(path: Path) -> tuple[BatchHeader, bytes]:
    """Raises DamagedBatch, or UnreadableSegment when another version wrote it."""
    line, _, body = path.read_bytes().partition(b"\n")
    checksum, encoded = line[:_CHECKSUM_SIZE], line[_CHECKSUM_SIZE:]
    if checksum != _checksum(encoded):
        raise DamagedBatch(f"{path.name}: the header does not match its checksum")
    try:
        header = msgspec.json.decode(encoded, type=BatchHeader)
    except msgspec.DecodeError as error:
        raise DamagedBatch(f"{path.name}: {error}") from error
    if header.format != FORMAT:
        raise UnreadableSegment(f"{path.name}: format {header.format} is not known to this version")
    if crc32(body) != header.body_crc:
        raise DamagedBatch(f"{path.name}: the body does not match its checksum")
    return header, body


def _checksum(encoded: bytes) -> bytes:
    return b"%08x " % crc32(encoded)

"""How much of the spool ClickHouse has not accepted yet: segments, records, bytes, and since when.

A parked batch waits for an operator, not for ClickHouse: it is no backlog. How many records a segment has is read
from its last sound frame; of a sealed one once, since it does not change.
"""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from scanhop.spool import SegmentName
from scanhop.spool.claim import list_spools
from scanhop.spool.frame import FRAME_HEAD, MAX_PAYLOAD, find_frame
from scanhop.spool.segment import ACKED, HEADER_SIZE, OPEN, PARKED, SEALED, list_segments
from scanhop.wire.scan_record import BadRecord, decode_scan

_LARGEST_FRAME = FRAME_HEAD.size + MAX_PAYLOAD
_NS_PER_S = 1_000_000_000


@dataclass(frozen=True)
class Backlog:
    segments: int
    records: int
    bytes: int
    oldest_age_s: float


@dataclass(frozen=True)
class _Segment:
    """`first_at`: Unix seconds of its first scan."""

    records: int
    bytes: int
    first_at: float


class BacklogReader:
    """Reads the whole spool, whoever has claimed its directories."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._sealed: dict[SegmentName, _Segment] = {}

    def read(self) -> Backlog:
        """What comes and goes meanwhile may be missing. Raises OSError only where the root cannot be read."""
        self._sealed = {name: segment for name in self._waiting(SEALED) if (segment := self._of_sealed(name))}
        opened = [segment for name in self._waiting(OPEN) if (segment := _read(name.path(self._root, OPEN)))]
        found = [*self._sealed.values(), *opened]
        oldest_at = min((segment.first_at for segment in found if segment.records), default=None)
        return Backlog(
            segments=len(found),
            records=sum(segment.records for segment in found),
            bytes=sum(segment.bytes for segment in found),
            oldest_age_s=0.0 if oldest_at is None else max(0.0, time.time() - oldest_at),
        )

    def _waiting(self, suffix: str) -> Iterator[SegmentName]:
        for spool_id in list_spools(self._root):
            for name in list_segments(self._root, spool_id, suffix):
                if not any(name.path(self._root, settled).exists() for settled in (PARKED, ACKED)):
                    yield name

    def _of_sealed(self, name: SegmentName) -> _Segment | None:
        return self._sealed.get(name) or _read(name.path(self._root, SEALED))


def _read(path: Path) -> _Segment | None:
    """None: it has gone."""
    try:
        with path.open("rb") as file:
            stat = os.fstat(file.fileno())
            head = file.read(HEADER_SIZE + _LARGEST_FRAME)
            file.seek(max(HEADER_SIZE, stat.st_size - 2 * _LARGEST_FRAME))
            return _Segment(_last_number(file.read()) + 1, stat.st_size, _first_at(head) or stat.st_mtime)
    except OSError:
        return None


def _last_number(tail: bytes) -> int:
    """Of the last sound frame in `tail`; -1 without any."""
    at, last = 0, -1
    while (found := find_frame(tail, at)) is not None:
        _, at, last = found
    return last


def _first_at(head: bytes) -> float | None:
    found = find_frame(head, HEADER_SIZE)
    if found is None:
        return None
    try:
        return decode_scan(head[found[0] + FRAME_HEAD.size : found[1]]).scanned_at_ns / _NS_PER_S
    except BadRecord:
        return None

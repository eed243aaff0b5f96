"""Reads a segment whole: its sound records, and what was damaged."""

from dataclasses import dataclass
from pathlib import Path

from scanhop.spool.frame import FRAME_HEAD, find_frame
from scanhop.spool.segment import HEADER_SIZE, SegmentName, UnreadableSegment, check_header


@dataclass(frozen=True)
class Damage:
    """Bytes [start, end) of the file that are no record. `is_tail`: no sound record follows."""

    start: int
    end: int
    is_tail: bool


@dataclass(frozen=True)
class SegmentContent:
    """`records` are (record number, payload), in file order."""

    records: list[tuple[int, bytes]]
    damages: list[Damage]
    data: bytes


def read_segment(path: Path, name: SegmentName) -> SegmentContent:
    """Never raises for what the file holds: a segment that is not ours is one damage from end to end.

    Raises OSError when the file cannot be read, UnreadableSegment when a newer version wrote it.
    """
    data = path.read_bytes()
    records: list[tuple[int, bytes]] = []
    damages: list[Damage] = []
    at = _start_of_frames(data, name)
    if at is None:
        return SegmentContent([], [Damage(0, len(data), is_tail=True)] if data else [], data)
    while (found := find_frame(data, at)) is not None:
        start, end, number = found
        if start > at:
            damages.append(Damage(at, start, is_tail=False))
        records.append((number, data[start + FRAME_HEAD.size : end]))
        at = end
    if at < len(data):
        damages.append(Damage(at, len(data), is_tail=True))
    return SegmentContent(records, damages, data)


def _start_of_frames(data: bytes, name: SegmentName) -> int | None:
    """Behind the header; a damaged header leaves the frames readable, a short one means there are none."""
    try:
        check_header(data, name)
    except UnreadableSegment as error:
        if "format" in str(error):
            raise
        return 0 if len(data) > HEADER_SIZE else None
    return HEADER_SIZE

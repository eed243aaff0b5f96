"""What did not become rows, as files in the spool: what there is, and how an operator hands it back.

    N.parked           a frozen insert that ClickHouse refused for good, or that is damaged itself
    N.parked-segment   the segment of it, which would else count as one that waits for ClickHouse
    N.rejected         records that cannot be a row, a JSON line each: number, reason, bytes (base64)
    N.damaged          bytes that were no record, the same way; nothing can be made of them
    N.replay           rejected records that are to be tried again; `ingest.replay` says how they become rows
    N.replay-parked    a refused insert of such
    *parked.json       beside a parked insert: why, and since when

To hand something back is one rename, whether ingest runs or not: N.parked to N.batch, which is sent as it is under
its token; N.rejected to N.replay. A name that is gone was handed back by somebody else.

Rejected records are final only once their segment is settled: until a batch is frozen, ingest may read the segment
again and reject others. Before that they cannot be handed back.
"""

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import msgspec

from ingest.frozen_batch import DamagedBatch, read_batch
from scanhop.spool import SegmentName
from scanhop.spool.claim import list_spools
from scanhop.spool.durable_file import sync_directory, write_durably
from scanhop.spool.segment import (
    ACKED,
    BATCH,
    DAMAGED,
    PARKED,
    REJECTED,
    SEALED,
    UnreadableSegment,
    list_segments,
)

REPLAY, REPLAY_BATCH, REPLAY_ACKED, REPLAY_PARKED = ".replay", ".replay-batch", ".replay-acked", ".replay-parked"
_PARKED_OF = {BATCH: PARKED, REPLAY_BATCH: REPLAY_PARKED}
PARKED_SEGMENT = ".parked-segment"
_BATCH_OF = {parked: batch for batch, parked in _PARKED_OF.items()}
_NS_PER_S = 1_000_000_000


class CannotReplay(Exception):
    """Why, in words for an operator."""


class Kind(StrEnum):
    PARKED = "parked"
    REJECTED = "rejected"
    DAMAGED = "damaged"
    REPLAY = "replay"


_KINDS = {
    PARKED: Kind.PARKED,
    REPLAY_PARKED: Kind.PARKED,
    REJECTED: Kind.REJECTED,
    DAMAGED: Kind.DAMAGED,
    REPLAY: Kind.REPLAY,
}


class ParkingNote(msgspec.Struct, frozen=True):
    reason: str
    at_ns: int


class RejectedRecord(msgspec.Struct, frozen=True):
    """A line of N.rejected and N.replay. `record` is its number in the segment."""

    record: int
    reason: str
    bytes: bytes


class _Line(msgspec.Struct, frozen=True):
    reason: str = ""


@dataclass(frozen=True)
class DeadLetter:
    """One file. `rows` are records, or places for damaged bytes; None where the file cannot be read."""

    kind: Kind
    segment: SegmentName
    path: Path
    reason: str
    rows: int | None
    bytes: int
    since: float

    @property
    def id(self) -> str:
        return f"{self.path.parent.name}/{self.path.name}"


def list_dead_letters(root: Path) -> list[DeadLetter]:
    """All of the spool, oldest directory first. What goes while it is looked at is left out."""
    return [letter for path, segment in _files(root) if (letter := _read(path, segment)) is not None]


def count_dead_letters(root: Path) -> Counter[Kind]:
    """Files of each kind, unread."""
    return Counter(_KINDS[path.suffix] for path, _ in _files(root))


def hand_back(letter: DeadLetter) -> None:
    """Durable when it returns: ingest tries it again, now or at its next start. Raises CannotReplay, OSError."""
    target = _check_batch(letter) if letter.kind is Kind.PARKED else _check_records(letter)
    try:
        letter.path.rename(target)
    except FileNotFoundError as error:
        raise CannotReplay("it is no longer there") from error
    sync_directory(target.parent)


def park(batch: Path, reason: str) -> None:
    """Set a frozen insert aside, with the reason beside it."""
    parked = batch.with_suffix(_PARKED_OF[batch.suffix])
    write_durably(_note_path(parked), msgspec.json.encode(ParkingNote(reason, time.time_ns())))
    batch.rename(parked)
    sync_directory(parked.parent)
    set_segment_aside(parked)


def set_segment_aside(parked: Path) -> None:
    """The writer seals by age only while few sealed segments wait; what waits for an operator is not one of them."""
    sealed = parked.with_suffix(SEALED)
    if parked.suffix == PARKED and sealed.exists():
        sealed.rename(parked.with_suffix(PARKED_SEGMENT))


def remove_old_notes(directory: Path) -> None:
    """Notes whose insert was handed back and accepted."""
    for note in directory.glob("*parked.json"):
        parked = note.with_suffix("")
        if not parked.exists() and not parked.with_suffix(_BATCH_OF[parked.suffix]).exists():
            note.unlink()


def is_settled(root: Path, name: SegmentName) -> bool:
    """Whether no record of the segment will be rejected any more."""
    frozen = (BATCH, PARKED, ACKED)
    return not name.path(root, SEALED).exists() or any(name.path(root, suffix).exists() for suffix in frozen)


def read_rejected(path: Path) -> list[RejectedRecord]:
    """Raises OSError, and msgspec.DecodeError when somebody has edited it."""
    return [msgspec.json.decode(line, type=RejectedRecord) for line in path.read_bytes().splitlines()]


def _files(root: Path) -> Iterator[tuple[Path, SegmentName]]:
    for spool_id in list_spools(root):
        for suffix in _KINDS:
            for name in list_segments(root, spool_id, suffix):
                yield name.path(root, suffix), name


def _read(path: Path, segment: SegmentName) -> DeadLetter | None:
    kind = _KINDS[path.suffix]
    try:
        rows, reason, since = _read_parked(path) if kind is Kind.PARKED else _read_lines(path, kind)
        return DeadLetter(kind, segment, path, reason, rows, path.stat().st_size, since)
    except FileNotFoundError:
        return None


def _read_parked(path: Path) -> tuple[int | None, str, float]:
    reason, since = "not told", path.stat().st_mtime
    try:
        note = msgspec.json.decode(_note_path(path).read_bytes(), type=ParkingNote)
        reason, since = note.reason, note.at_ns / _NS_PER_S
        return read_batch(path)[0].rows, reason, since
    except (DamagedBatch, UnreadableSegment) as error:
        return None, str(error), since
    except (msgspec.DecodeError, FileNotFoundError):
        return read_batch(path)[0].rows, reason, since


def _read_lines(path: Path, kind: Kind) -> tuple[int, str, float]:
    with path.open("rb") as file:
        reasons = Counter(_reason(line) for line in file)
    told = "; ".join(f"{reason} ({count})" for reason, count in reasons.most_common(3))
    words = {Kind.DAMAGED: "no records", Kind.REPLAY: "waits for ingest"}
    return reasons.total(), words.get(kind, told), path.stat().st_mtime


def _reason(line: bytes) -> str:
    try:
        return msgspec.json.decode(line, type=_Line).reason
    except msgspec.DecodeError:
        return "an unreadable line"


def _check_batch(letter: DeadLetter) -> Path:
    """The name under which it is sent again."""
    try:
        read_batch(letter.path)
    except (DamagedBatch, UnreadableSegment) as error:
        raise CannotReplay(f"{error}; docs/operations.md says what can be done") from error
    except FileNotFoundError as error:
        raise CannotReplay("it is no longer there") from error
    return letter.path.with_suffix(_BATCH_OF[letter.path.suffix])


def _check_records(letter: DeadLetter) -> Path:
    root, target = letter.path.parent.parent, letter.path.with_suffix(REPLAY)
    if letter.kind is Kind.DAMAGED:
        raise CannotReplay("damaged bytes are no records; they are kept as evidence")
    if letter.kind is Kind.REPLAY or target.exists():
        raise CannotReplay("it was handed back already; ingest has not come to it yet")
    if not is_settled(root, letter.segment):
        raise CannotReplay("its segment is still being read; try again when it is accepted")
    return target


def _note_path(parked: Path) -> Path:
    return parked.with_name(f"{parked.name}.json")

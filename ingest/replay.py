"""Rejected records become rows after all, where this version can make rows of them.

The records of N.replay go into a batch of their own, frozen like any other, whose id is the segment's batch id with
the lowest of their record numbers plus one in its last four bytes: no other batch has it, since a record is accepted
once. Their event ids are what they would have been in the segment's own batch.

    N.replay                  what is to be tried
    N.replay + .replay-batch  frozen: send these bytes under their token until ClickHouse accepts them
    N.replay + .replay-parked refused for good; nothing else of the segment is replayed meanwhile
    N.replay + .replay-acked  accepted: take its records out of N.replay, then forget it

One batch takes the records of one month; what is of another month comes next. When no record that is left can be a
row, N.replay becomes N.rejected again, with the reasons of this try. A crash at any point is gone on from.
"""

import base64
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import orjson

from ingest.dead_letters import (
    REPLAY,
    REPLAY_ACKED,
    REPLAY_BATCH,
    REPLAY_PARKED,
    RejectedRecord,
    read_rejected,
)
from ingest.freezer import Freezer
from ingest.frozen_batch import BatchHeader, DamagedBatch, read_batch
from ingest.scan_reader import Rejected
from scanhop.spool import SegmentName, SpoolId
from scanhop.spool.durable_file import sync_directory, write_durably
from scanhop.spool.segment import REJECTED, UnreadableSegment, list_segments
from scanhop.telemetry.logs import get_logger

Send = Callable[[Path], Awaitable[BatchHeader]]
Prepare = Callable[[Sequence[tuple[int, bytes]]], Awaitable[None]]

_log = get_logger()


class Replayer:
    """`send` reads a frozen batch and has it accepted; `prepare` is called before records are enriched."""

    def __init__(self, root: Path, freezer: Freezer, send: Send, prepare: Prepare) -> None:
        self._root = root
        self._freezer = freezer
        self._send = send
        self._prepare = prepare

    def list_waiting(self, spool_id: SpoolId) -> list[SegmentName]:
        suffixes = (REPLAY, REPLAY_BATCH, REPLAY_ACKED)
        return sorted({name for suffix in suffixes for name in list_segments(self._root, spool_id, suffix)})

    async def take(self, name: SegmentName) -> bool:
        """One batch. False: nothing to do. Raises as `send` does, and OSError."""
        if name.path(self._root, REPLAY_PARKED).exists():
            return False
        batch, acked = name.path(self._root, REPLAY_BATCH), name.path(self._root, REPLAY_ACKED)
        if not acked.exists():
            if not batch.exists() and not await self._freeze(name):
                return True
            await self._send(batch)
            batch.rename(acked)
            sync_directory(acked.parent)
        self._take_out(name)
        return True

    async def _freeze(self, name: SegmentName) -> bool:
        records = [(line.record, line.bytes) for line in read_rejected(name.path(self._root, REPLAY))]
        await self._prepare(records)
        rejected = self._freezer.freeze_rejected(name, records, name.path(self._root, REPLAY_BATCH))
        if len(rejected) < len(records):
            return True
        _log.warning("replay_over", segment=str(name), still_rejected=len(rejected))
        self._give_back(name, rejected)
        return False

    def _give_back(self, name: SegmentName, rejected: Sequence[Rejected]) -> None:
        replay = name.path(self._root, REPLAY)
        write_durably(replay, encode_rejected([(each.number, each.payload, each.detail) for each in rejected]))
        replay.rename(name.path(self._root, REJECTED))
        sync_directory(replay.parent)

    def _take_out(self, name: SegmentName) -> None:
        """What was accepted is no longer in N.replay, durably, before the acknowledgement is forgotten."""
        replay, acked = name.path(self._root, REPLAY), name.path(self._root, REPLAY_ACKED)
        accepted = _replayed(acked)
        left = [line for line in _lines_of(replay) if line.record not in accepted]
        if left:
            write_durably(replay, encode_rejected([(line.record, line.bytes, line.reason) for line in left]))
        else:
            replay.unlink(missing_ok=True)
            sync_directory(replay.parent)
        acked.unlink()
        _log.info("records_replayed", segment=str(name), rows=len(accepted), left=len(left))


def encode_rejected(rejected: Sequence[tuple[int, bytes, str]]) -> bytes:
    """The lines of N.rejected and N.replay, of (record number, payload, reason)."""
    lines = [
        {"record": number, "reason": reason, "bytes": base64.b64encode(payload).decode()}
        for number, payload, reason in rejected
    ]
    return b"".join(orjson.dumps(line) + b"\n" for line in lines)


def _replayed(acked: Path) -> frozenset[int]:
    """Raises UnreadableSegment when the disk has spoiled it: what was accepted is then not known."""
    try:
        return frozenset(read_batch(acked)[0].replayed)
    except DamagedBatch as error:
        raise UnreadableSegment(str(error)) from error


def _lines_of(path: Path) -> list[RejectedRecord]:
    return read_rejected(path) if path.exists() else []

"""From a sealed segment to its frozen batch: read, turn away what cannot be a row, enrich, encode, write."""

import base64
import time
from collections import Counter
from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from uuid import UUID

import msgspec
import orjson
from isal.isal_zlib import crc32

from ingest.enrichment import Enrichment
from ingest.frozen_batch import FORMAT, INSERT_SETTINGS, BatchHeader, batch_id, replay_batch_id, write_batch
from ingest.scan_reader import Record, Rejected, Rejection, Scans
from ingest.scan_rows import column_names, count_counted, encode_rows
from scanhop.spool import Damage, SegmentContent, SegmentName, read_segment
from scanhop.spool.durable_file import write_durably
from scanhop.spool.frame import FRAME_HEAD, MAX_PAYLOAD
from scanhop.spool.segment import BATCH, DAMAGED, REJECTED, SEALED
from scanhop.telemetry.logs import get_logger

TABLE = "qr_scan_events"


class SetAside(StrEnum):
    """Why something of a segment became no row: a Rejection of a record, or bytes that are none. A closed list; the
    names stand in the metrics."""

    MALFORMED = Rejection.MALFORMED.value
    TIME_OUT_OF_RANGE = Rejection.TIME_OUT_OF_RANGE.value
    ANOTHER_MONTH = Rejection.ANOTHER_MONTH.value
    FAILED = Rejection.FAILED.value
    DAMAGED = "damaged"
    TORN = "torn"


_log = get_logger()


class Freezer:
    """`counts` are of records: read, frozen, rejected, damaged (places), torn (tails)."""

    def __init__(self, root: Path, enrichment: Enrichment, clock_ns: Callable[[], int] = time.time_ns) -> None:
        self._root = root
        self.enrichment = enrichment
        self._clock_ns = clock_ns
        self.counts: Counter[str] = Counter()
        self.set_aside: Counter[SetAside] = Counter()

    def read(self, name: SegmentName) -> SegmentContent:
        return read_segment(name.path(self._root, SEALED), name)

    def freeze(self, name: SegmentName, content: SegmentContent) -> bool:
        """False: no record of the segment can become a row, so there is no batch. Raises OSError."""
        batch = self._make_batch(name, content)
        if batch is None:
            return False
        write_batch(name.path(self._root, BATCH), *batch)
        self.counts["frozen"] += batch[0].rows
        return True

    def freeze_rejected(self, name: SegmentName, records: Sequence[Record], path: Path) -> list[Rejected]:
        """Freeze at `path` those of a segment's rejected records that can be rows now; the others. Raises OSError."""
        scans, rejected = self.enrichment.enrich(records)
        if scans:
            identity = replay_batch_id(batch_id(name), scans.numbers)
            header, body = self._encode(name, scans, 0, identity)
            write_batch(path, msgspec.structs.replace(header, replayed=scans.numbers), body)
        return rejected

    def _make_batch(self, name: SegmentName, content: SegmentContent) -> tuple[BatchHeader, bytearray] | None:
        scans, rejected = self.enrichment.enrich(content.records)
        self._set_aside(name, content, rejected)
        damaged = sum(not _is_torn(damage) for damage in content.damages)
        return self._encode(name, scans, damaged, batch_id(name)) if scans else None

    def _encode(self, name: SegmentName, scans: Scans, damaged: int, identity: UUID) -> tuple[BatchHeader, bytearray]:
        frozen_at_ns = self._clock_ns()
        body = encode_rows(identity, frozen_at_ns, scans)
        header = BatchHeader(
            format=FORMAT,
            batch_id=identity,
            spool_id=UUID(bytes=name.spool_id.bytes),
            segment=name.number,
            table=TABLE,
            columns=column_names(),
            settings=INSERT_SETTINGS,
            rows=len(scans),
            scans=count_counted(scans),
            damaged=damaged,
            first_scan_at_ns=min(scans.times_ns),
            last_scan_at_ns=max(scans.times_ns),
            frozen_at_ns=frozen_at_ns,
            body_crc=crc32(body),
        )
        return header, body

    def _set_aside(self, name: SegmentName, content: SegmentContent, rejected: Sequence[Rejected]) -> None:
        self.counts["read"] += len(content.records)
        self.counts["rejected"] += len(rejected)
        self.counts["torn"] += sum(_is_torn(damage) for damage in content.damages)
        broken = [damage for damage in content.damages if not _is_torn(damage)]
        self.counts["damaged"] += len(broken)
        self.set_aside.update(SetAside(record.reason.value) for record in rejected)
        self.set_aside[SetAside.DAMAGED] += len(broken)
        self.set_aside[SetAside.TORN] += len(content.damages) - len(broken)
        _write_lines(name.path(self._root, DAMAGED), [_damage_line(content.data, damage) for damage in broken])
        _write_lines(name.path(self._root, REJECTED), [_rejected_line(record) for record in rejected])


def _is_torn(damage: Damage) -> bool:
    """What a crash leaves at the end: at most one frame. More than that was damaged otherwise."""
    return damage.is_tail and damage.end - damage.start < FRAME_HEAD.size + MAX_PAYLOAD


def _damage_line(data: bytes, damage: Damage) -> dict[str, object]:
    return {"start": damage.start, "end": damage.end, "bytes": _base64(data[damage.start : damage.end])}


def _rejected_line(record: Rejected) -> dict[str, object]:
    return {"record": record.number, "reason": record.detail, "bytes": _base64(record.payload)}


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _write_lines(path: Path, lines: Sequence[dict[str, object]]) -> None:
    """Written anew each time: after a crash a segment is read again, by another version perhaps, and what is set
    aside then is all that is."""
    if not lines:
        path.unlink(missing_ok=True)
        return
    write_durably(path, b"".join(orjson.dumps(line) + b"\n" for line in lines))
    _log.error("records_set_aside", file=path.name, lines=len(lines))

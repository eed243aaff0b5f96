"""From a sealed segment to its frozen batch: read, turn away what cannot be a row, enrich, encode, write."""

import base64
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from uuid import UUID
from zlib import crc32

import orjson

from ingest.enrichment import Enrichment, Scan, utc_month
from ingest.frozen_batch import FORMAT, INSERT_SETTINGS, BatchHeader, batch_id, write_batch
from ingest.scan_rows import column_names, encode_rows, is_counted
from scanhop.spool import Damage, SegmentContent, SegmentName, read_segment
from scanhop.spool.durable_file import write_durably
from scanhop.spool.frame import FRAME_HEAD, MAX_PAYLOAD
from scanhop.spool.segment import BATCH, DAMAGED, REJECTED, SEALED
from scanhop.telemetry.logs import get_logger
from scanhop.wire.scan_record import BadRecord, ScanRecord, decode_scan

TABLE = "qr_scan_events"
LATEST_NS = 2**62  # the year 2116: a clock beyond it is no clock

Rejected = tuple[int, bytes, str]

_log = get_logger()


class Freezer:
    """`counts` are of records: read, frozen, rejected, damaged (places), torn (tails)."""

    def __init__(self, root: Path, enrichment: Enrichment, clock_ns: Callable[[], int] = time.time_ns) -> None:
        self._root = root
        self._enrichment = enrichment
        self._clock_ns = clock_ns
        self.counts: Counter[str] = Counter()

    def read(self, name: SegmentName) -> SegmentContent:
        return read_segment(name.path(self._root, SEALED), name)

    def freeze(self, name: SegmentName, content: SegmentContent) -> bool:
        """False: no record of the segment can become a row, so there is no batch. Raises OSError."""
        records, undecoded = _decode(content.records)
        scans, failed = self._enrich(records)
        self._set_aside(name, content, [*undecoded, *failed])
        if not scans:
            return False
        header, body = self._encode(name, scans, sum(not _is_torn(damage) for damage in content.damages))
        write_batch(name.path(self._root, BATCH), header, body)
        self.counts["frozen"] += len(scans)
        return True

    def _enrich(
        self, records: Sequence[tuple[int, bytes, ScanRecord]]
    ) -> tuple[list[tuple[int, Scan]], list[Rejected]]:
        """One record that an enrichment fails on must not stop the others, now and after each restart."""
        scans: list[tuple[int, Scan]] = []
        failed: list[Rejected] = []
        for number, payload, record in records:
            try:
                scans.append((number, self._enrichment.enrich(record)))
            except Exception as error:  # noqa: BLE001 - whatever it is
                _log.exception("enrichment_failed", record=number)
                failed.append((number, payload, f"enrichment: {type(error).__name__}: {error}"))
        return scans, failed

    def _encode(
        self, name: SegmentName, scans: Sequence[tuple[int, Scan]], damaged: int
    ) -> tuple[BatchHeader, bytes]:
        frozen_at_ns = self._clock_ns()
        identity = batch_id(name)
        body = encode_rows(identity, frozen_at_ns, scans)
        times = [scan.record.scanned_at_ns for _, scan in scans]
        header = BatchHeader(
            format=FORMAT,
            batch_id=identity,
            spool_id=UUID(bytes=name.spool_id.bytes),
            segment=name.number,
            table=TABLE,
            columns=column_names(),
            settings=INSERT_SETTINGS,
            rows=len(scans),
            scans=sum(is_counted(scan) for _, scan in scans),
            damaged=damaged,
            first_scan_at_ns=min(times),
            last_scan_at_ns=max(times),
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
        _write_lines(name.path(self._root, DAMAGED), [_damage_line(content.data, damage) for damage in broken])
        _write_lines(name.path(self._root, REJECTED), [_rejected_line(record) for record in rejected])


def _decode(records: Sequence[tuple[int, bytes]]) -> tuple[list[tuple[int, bytes, ScanRecord]], list[Rejected]]:
    accepted: list[tuple[int, bytes, ScanRecord]] = []
    rejected: list[Rejected] = []
    for number, payload in records:
        try:
            record = decode_scan(payload)
            _check(record, accepted[0][2] if accepted else record)
            accepted.append((number, payload, record))
        except BadRecord as error:
            rejected.append((number, payload, str(error)))
    return accepted, rejected


def _check(record: ScanRecord, first: ScanRecord) -> None:
    """Raises BadRecord for what ClickHouse would refuse, or would put into a second partition."""
    if not 0 < record.scanned_at_ns < LATEST_NS:
        raise BadRecord("the time is out of range")
    if utc_month(record.scanned_at_ns) != utc_month(first.scanned_at_ns):
        raise BadRecord("another month than the segment's first record")


def _is_torn(damage: Damage) -> bool:
    """What a crash leaves at the end: at most one frame. More than that was damaged otherwise."""
    return damage.is_tail and damage.end - damage.start < FRAME_HEAD.size + MAX_PAYLOAD


def _damage_line(data: bytes, damage: Damage) -> dict[str, object]:
    return {"start": damage.start, "end": damage.end, "bytes": _base64(data[damage.start : damage.end])}


def _rejected_line(record: Rejected) -> dict[str, object]:
    number, payload, reason = record
    return {"record": number, "reason": reason, "bytes": _base64(payload)}


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _write_lines(path: Path, lines: Sequence[dict[str, object]]) -> None:
    """Written anew each time: a segment that is read again after a crash gives the same lines."""
    if lines:
        write_durably(path, b"".join(orjson.dumps(line) + b"\n" for line in lines))
        _log.error("records_set_aside", file=path.name, lines=len(lines))

"""Imported scans as one Native block of `qr_scan_events`, with the batch's header."""

from collections.abc import Sequence
from uuid import UUID

from isal.isal_zlib import crc32

from ingest.csv_import.row_store import StoredScan
from ingest.frozen_batch import FORMAT, INSERT_SETTINGS, BatchHeader
from ingest.native_format import Column, bools, encode_block, int64s, strings, texts, uint64s, uuids
from ingest.visitors import NO_VISITOR
from scanhop.client_facts.bots import list_version
from scanhop.wire.scan_record import Outcome

TABLE = "qr_scan_events"
_DATETIME = "DateTime64(3, 'UTC')"
_TEXTS = (
    *("outcome", "bot_reason", "ip", "country", "region", "city", "language", "device_type", "os", "browser"),
    *("user_agent", "referer"),
)


def build_batch(
    import_id: UUID, number: int, batch_id: UUID, scans: Sequence[StoredScan], frozen_at_ns: int
) -> tuple[BatchHeader, bytearray]:
    """`scans` are in order of time."""
    columns = _columns(batch_id, scans, frozen_at_ns // 1_000_000)
    body = encode_block(columns, len(scans))
    header = BatchHeader(
        format=FORMAT,
        batch_id=batch_id,
        spool_id=import_id,
        segment=number,
        table=TABLE,
        columns=[column.name for column in columns],
        settings=INSERT_SETTINGS,
        rows=len(scans),
        scans=sum(is_counted(scan) for scan in scans),
        damaged=0,
        first_scan_at_ns=scans[0].scanned_at_ms * 1_000_000,
        last_scan_at_ns=scans[-1].scanned_at_ms * 1_000_000,
        frozen_at_ns=frozen_at_ns,
        body_crc=crc32(body),
    )
    return header, body


def is_counted(scan: StoredScan) -> bool:
    return scan.facts.outcome == Outcome.REDIRECT.label and not scan.facts.bot_reason


def _columns(batch_id: UUID, scans: Sequence[StoredScan], received_at_ms: int) -> list[Column]:
    codes = [scan.code for scan in scans]
    return [
        Column("event_id", "UUID", uuids([scan.event_id for scan in scans])),
        Column("batch_id", "UUID", uuids([batch_id.bytes]) * len(scans)),
        Column("workspace_id", "UUID", uuids([code.workspace_id for code in codes])),
        Column("qr_id", "UUID", uuids([code.qr_id for code in codes])),
        Column("user_id", "UUID", uuids([code.user_id for code in codes])),
        Column("project_id", "UUID", uuids([code.project_id for code in codes])),
        Column("domain_id", "UUID", uuids([code.domain_id for code in codes])),
        Column("short_code", "String", strings([code.short_code.encode() for code in codes])),
        Column("scanned_at", _DATETIME, int64s([scan.scanned_at_ms for scan in scans])),
        Column("received_at", _DATETIME, int64s([received_at_ms]) * len(scans)),
        Column("is_bot", "Bool", bools([bool(scan.facts.bot_reason) for scan in scans])),
        Column("bot_list_version", "String", texts([list_version()]) * len(scans)),
        Column("visitor", "UInt64", uint64s([NO_VISITOR]) * len(scans)),
        *(Column(name, "String", strings([getattr(scan.facts, name).encode() for scan in scans])) for name in _TEXTS),
    ]

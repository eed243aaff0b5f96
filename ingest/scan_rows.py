"""From enriched scans to the columns of `qr_scan_events`, as one Native block.

Types are strict here: whatever cannot become a row was turned away before.
"""

from collections.abc import Sequence
from uuid import UUID

from ingest.enrichment import Scan
from ingest.native_format import Column, bools, encode_block, int64s, strings, uint64s, uuids
from scanhop.client_facts.bots import BotReason
from scanhop.wire.scan_record import Outcome

MAX_USER_AGENT = 1024
MAX_REFERER = 2048
_DATETIME = "DateTime64(3, 'UTC')"
_NS_PER_MS = 1_000_000


def event_id(batch_id: UUID, record_number: int) -> bytes:
    """The batch's id with the record's number in its last four bytes, which a batch id leaves zero."""
    return batch_id.bytes[:12] + record_number.to_bytes(4)


def is_counted(scan: Scan) -> bool:
    """What `total_scans` and the rollups' `scans` mean: a GET that was sent to the target, not by a bot."""
    return scan.record.outcome is Outcome.REDIRECT and scan.bot_reason is BotReason.NONE


def encode_rows(batch_id: UUID, received_at_ns: int, scans: Sequence[tuple[int, Scan]]) -> bytes:
    """`scans` are (record number, scan)."""
    return encode_block(_columns(batch_id, received_at_ns, scans), len(scans))


def column_names() -> list[str]:
    return [column.name for column in _columns(UUID(int=0), 0, ())]


def _columns(batch_id: UUID, received_at_ns: int, scans: Sequence[tuple[int, Scan]]) -> list[Column]:
    records = [scan.record for _, scan in scans]
    enriched = [scan for _, scan in scans]
    devices = [scan.device for scan in enriched if scan.device is not None]
    return [
        Column("event_id", "UUID", uuids([event_id(batch_id, number) for number, _ in scans])),
        Column("batch_id", "UUID", uuids([batch_id.bytes]) * len(scans)),
        Column("workspace_id", "UUID", uuids([record.workspace_id for record in records])),
        Column("qr_id", "UUID", uuids([record.qr_id for record in records])),
        Column("user_id", "UUID", uuids([record.user_id for record in records])),
        Column("project_id", "UUID", uuids([record.project_id for record in records])),
        Column("domain_id", "UUID", uuids([record.domain_id for record in records])),
        Column("short_code", "String", strings([record.code.encode() for record in records])),
        Column("route_version", "UInt64", uint64s([record.route_version for record in records])),
        Column("scanned_at", _DATETIME, int64s([record.scanned_at_ns // _NS_PER_MS for record in records])),
        Column("received_at", _DATETIME, int64s([received_at_ns // _NS_PER_MS]) * len(scans)),
        Column("outcome", "String", strings([record.outcome.label.encode() for record in records])),
        Column("rule_id", "String", strings([record.rule_id.encode() for record in records])),
        Column("variant", "String", strings([record.variant.encode() for record in records])),
        Column("is_bot", "Bool", bools([scan.bot_reason is not BotReason.NONE for scan in enriched])),
        Column("bot_reason", "String", strings([scan.bot_reason.encode() for scan in enriched])),
        Column("visitor", "UInt64", uint64s([scan.visitor for scan in enriched])),
        Column("ip", "String", strings([scan.ip.encode() for scan in enriched])),
        Column("country", "String", strings([scan.place.country.encode() for scan in enriched])),
        Column("region", "String", strings([scan.place.region.encode() for scan in enriched])),
        Column("city", "String", strings([scan.place.city.encode() for scan in enriched])),
        Column("language", "String", strings([scan.language.encode() for scan in enriched])),
        Column("device_type", "String", strings([device.device_type.encode() for device in devices])),
        Column("os", "String", strings([device.os.encode() for device in devices])),
        Column("browser", "String", strings([device.browser.encode() for device in devices])),
        Column("user_agent", "String", strings([_header(scan, b"user-agent", MAX_USER_AGENT) for scan in enriched])),
        Column("referer", "String", strings([_header(scan, b"referer", MAX_REFERER) for scan in enriched])),
    ]


def _header(scan: Scan, name: bytes, limit: int) -> bytes:
    """As UTF-8, whatever bytes the client sent."""
    return scan.record.headers.get(name, b"")[:limit].decode("utf-8", "replace").encode()

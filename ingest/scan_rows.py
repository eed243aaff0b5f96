"""From enriched scans to the columns of `qr_scan_events`, as one Native block.

Types are strict here: whatever cannot become a row was turned away before.
"""

from collections.abc import Iterator
from operator import attrgetter, itemgetter
from uuid import UUID

from ingest.native_format import Column, bools, encode_block, int64s, numbered_uuids, strings, texts, uint64s, uuids
from ingest.scan_reader import Scans
from scanhop.client_facts.bots import BotReason, list_version
from scanhop.wire.scan_record import OUTCOMES, Outcome

_DATETIME = "DateTime64(3, 'UTC')"
_NS_PER_MS = 1_000_000
_REDIRECT = Outcome.REDIRECT.value


def event_id(batch_id: UUID, record_number: int) -> bytes:
    """The batch's id with the record's number in its last four bytes, which a batch id leaves zero."""
    return batch_id.bytes[:12] + record_number.to_bytes(4)


def count_counted(scans: Scans) -> int:
    """What `total_scans` and the rollups' `scans` mean: GETs that were sent to the target, not by bots."""
    told = zip(scans.outcomes, scans.bot_reasons, strict=True)
    return sum([outcome == _REDIRECT and reason is BotReason.NONE for outcome, reason in told])


def encode_rows(batch_id: UUID, received_at_ns: int, scans: Scans) -> bytearray:
    return encode_block(_columns(batch_id, received_at_ns, scans), len(scans))


def column_names() -> list[str]:
    return [column.name for column in _columns(UUID(int=0), 0, Scans())]


def _columns(batch_id: UUID, received_at_ns: int, scans: Scans) -> Iterator[Column]:
    rows, routes, headers = len(scans), scans.routes, scans.headers
    places, devices = scans.places, scans.devices
    labels = {number: outcome.label for number, outcome in OUTCOMES.items()}
    yield Column("event_id", "UUID", numbered_uuids(batch_id.bytes[:12], scans.numbers))
    yield Column("batch_id", "UUID", uuids([batch_id.bytes]) * rows)
    yield Column("workspace_id", "UUID", b"".join([route.workspace_id for route in routes]))
    yield Column("qr_id", "UUID", b"".join([route.qr_id for route in routes]))
    yield Column("user_id", "UUID", b"".join([route.user_id for route in routes]))
    yield Column("project_id", "UUID", b"".join([route.project_id for route in routes]))
    yield Column("domain_id", "UUID", b"".join([route.domain_id for route in routes]))
    yield Column("short_code", "String", b"".join([route.short_code for route in routes]))
    yield Column("route_version", "UInt64", uint64s([route.version for route in routes]))
    yield Column("scanned_at", _DATETIME, int64s([at_ns // _NS_PER_MS for at_ns in scans.times_ns]))
    yield Column("received_at", _DATETIME, int64s([received_at_ns // _NS_PER_MS]) * rows)
    yield Column("outcome", "String", texts(map(labels.__getitem__, scans.outcomes)))
    yield Column("rule_id", "String", texts(map(itemgetter(0), scans.chosen)))
    yield Column("variant", "String", texts(map(itemgetter(1), scans.chosen)))
    yield Column("is_bot", "Bool", bools([reason is not BotReason.NONE for reason in scans.bot_reasons]))
    yield Column("bot_reason", "String", texts(scans.bot_reasons))
    yield Column("bot_list_version", "String", texts([list_version()]) * rows)
    yield Column("visitor", "UInt64", uint64s(scans.visitors))
    yield Column("ip", "String", strings([ip.encode() for ip in scans.ips]))
    yield Column("country", "String", texts(map(attrgetter("country"), places)))
    yield Column("region", "String", texts(map(attrgetter("region"), places)))
    yield Column("city", "String", texts(map(attrgetter("city"), places)))
    yield Column("language", "String", texts(scans.languages))
    yield Column("device_type", "String", texts(map(attrgetter("device_type"), devices)))
    yield Column("os", "String", texts(map(attrgetter("os"), devices)))
    yield Column("browser", "String", texts(map(attrgetter("browser"), devices)))
    yield Column("user_agent", "String", b"".join([sent.user_agent.value for sent in headers]))
    yield Column("referer", "String", b"".join([sent.referer_value for sent in headers]))

"""The plain way of doing what ingest does: each record by itself, each row a line of JSON."""

import hashlib
import hmac
import ipaddress
import json
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import clickhouse_connect
import maxminddb
import user_agents

from scanhop.wire.scan_record import ScanRecord, decode_scan


def load_plainly(payloads: Iterable[bytes], database: Path, clickhouse_url: str) -> float:
    """The CPU seconds of this process."""
    client = clickhouse_connect.get_client(dsn=clickhouse_url)
    with maxminddb.open_database(database) as places:
        started = time.process_time()
        rows = [json.dumps(_row(decode_scan(payload), places)) for payload in payloads]
        body = "\n".join(rows).encode()
        client.raw_insert("qr_scan_events", insert_block=body, fmt="JSONEachRow")
        spent = time.process_time() - started
    client.close()
    return spent


def _row(record: ScanRecord, places: maxminddb.Reader) -> dict[str, object]:
    shown = record.headers.get(b"user-agent", b"").decode()
    agent = user_agents.parse(shown)
    address = ipaddress.ip_address(record.peer)
    place = places.get(address) or {}
    network = ipaddress.ip_network((address, 24 if address.version == 4 else 48), strict=False)
    visitor = hmac.digest(b"salt", record.peer + shown.encode(), hashlib.sha256)
    at = datetime.fromtimestamp(record.scanned_at_ns / 1e9, UTC)
    return {
        "workspace_id": str(UUID(bytes=record.workspace_id)),
        "qr_id": str(UUID(bytes=record.qr_id)),
        "user_id": str(UUID(bytes=record.user_id)),
        "short_code": record.code,
        "route_version": record.route_version,
        "scanned_at": at.strftime("%Y-%m-%d %H:%M:%S.%f")[:-3],
        "outcome": record.outcome.label,
        "is_bot": agent.is_bot,
        "visitor": int.from_bytes(visitor[:8]),
        "ip": str(network.network_address),
        "country": place.get("country_code", ""),
        "region": place.get("state1", ""),
        "city": place.get("city", ""),
        "device_type": "tablet" if agent.is_tablet else "mobile" if agent.is_mobile else "desktop",
        "os": agent.os.family,
        "browser": agent.browser.family,
        "user_agent": shown,
    }

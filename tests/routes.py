"""Routes and scans for tests."""

import time
from typing import Any
from uuid import UUID

from edge.local_cache import CachedRoute
from scanhop.spool import SpoolWriter
from scanhop.wire.ids import DEFAULT_DOMAIN_ID, uuid7
from scanhop.wire.route import Route, Status
from scanhop.wire.scan_record import Outcome, encode_headers, encode_route_prefix, encode_scan

PHONE = (
    b"Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    b"Version/17.5 Mobile/15E148 Safari/604.1"
)


def new_route(**fields: Any) -> Route:
    """An active route of a new code; `fields` replace what it says."""
    usual: dict[str, Any] = {
        "domain_id": DEFAULT_DOMAIN_ID.bytes,
        "code": "abc2345",
        "workspace_id": new_id().bytes,
        "qr_id": new_id().bytes,
        "user_id": new_id().bytes,
        "project_id": bytes(16),
        "version": 1,
        "status": Status.ACTIVE,
        "target_url": "https://example.com/",
    }
    return Route(**(usual | fields))


def cached(raw: bytes, prefix: bytes, stale_at: float, route: Route | None = None) -> CachedRoute:
    """An entry of a worker's cache with no answer ready."""
    return CachedRoute(0, Outcome.UNKNOWN, b"", raw=raw, prefix=prefix, stale_at=stale_at, route=route)


def new_id() -> UUID:
    return uuid7(time.time_ns())


def write_scan(
    spool: SpoolWriter,
    route: Route,
    outcome: Outcome = Outcome.REDIRECT,
    peer: bytes = b"\xc0\x00\x02\x07",
    headers: list[tuple[bytes, bytes]] | None = None,
) -> None:
    """One scan of `route`, from 192.0.2.7 with a phone's User-Agent, in the file when this returns."""
    at_ns = spool.now_ns()
    head = encode_headers([(b"user-agent", PHONE), *(headers or [])])
    spool.append(encode_scan(encode_route_prefix(route), at_ns, outcome, peer, head), at_ns=at_ns)
    assert spool.flush()

"""From a row of the view `edge_routes_v1` to a Route.

A row that names an unsafe address is refused here again, whatever wrote it: the edge puts the text into a header
without another look.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from scanhop.routing.targets import is_header_safe
from scanhop.wire.ids import ZERO_UUID
from scanhop.wire.route import Route, Status

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_NS = 2**63 - 1  # the year 2262; what a Route can hold
_REDIRECTING = (Status.ACTIVE, Status.ARCHIVED)


class UncompilableRoute(ValueError):
    """The row cannot be a route; the message names the code and the reason."""


def compile_route(row: Mapping[str, Any]) -> Route:
    """Raises UncompilableRoute."""
    status, target_url = _status(row), _safe(row, "target_url") or ""
    if status in _REDIRECTING and not target_url:
        raise UncompilableRoute(f"code {row['short_code']!r}: has no target_url")
    return Route(
        domain_id=row["domain_id"].bytes,
        code=row["short_code"],
        workspace_id=row["workspace_id"].bytes,
        qr_id=row["qr_id"].bytes,
        user_id=_id_bytes(row["user_id"]),
        project_id=_id_bytes(row["project_id"]),
        version=row["version"],
        status=status,
        target_url=target_url,
        fallback_url=_safe(row, "fallback_url"),
        redirect_status=row["redirect_status"],
        opens_at_ns=_unix_ns(row["starts_at"]),
        closes_at_ns=_unix_ns(row["expires_at"]),
        banned_for_legal_reason=row["ban_reason"] == "legal",
    )


def _status(row: Mapping[str, Any]) -> Status:
    try:
        return Status[row["status"].upper()]
    except KeyError:
        raise UncompilableRoute(f"code {row['short_code']!r}: there is no status {row['status']!r}") from None


def _safe(row: Mapping[str, Any], column: str) -> str | None:
    url: str | None = row[column]
    if url is not None and not is_header_safe(url):
        raise UncompilableRoute(f"code {row['short_code']!r}: {column} is not safe for a header")
    return url


def _id_bytes(value: UUID | None) -> bytes:
    return (value or ZERO_UUID).bytes


def _unix_ns(at: datetime | None) -> int | None:
    """A time beyond what a Route can hold is the last, or first, that it can: no clock of ours gets there."""
    if at is None:
        return None
    ns = (at - _EPOCH) // timedelta(microseconds=1) * 1_000
    return max(-_LAST_NS, min(ns, _LAST_NS))

"""From a row of the view `edge_routes_v1` to a Route.

A row that names an unsafe address, or holds rules that would be refused, is refused here again, whatever wrote it:
the edge puts the text into a header without another look.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from scanhop.routing.forwarding import InvalidForwardQuery, parse_forward_query
from scanhop.routing.moments import unix_ns
from scanhop.routing.rule_compilation import compile_rule
from scanhop.routing.rules import InvalidRules, parse_rules
from scanhop.routing.targets import is_header_safe
from scanhop.wire.ids import ZERO_UUID
from scanhop.wire.route import Route, Rule, Status

_REDIRECTING = (Status.ACTIVE, Status.ARCHIVED)


class UncompilableRoute(ValueError):
    """The row cannot be a route; the message names the code and the reason."""


def compile_route(row: Mapping[str, Any]) -> Route:
    """Raises UncompilableRoute."""
    status, target_url = _status(row), _safe(row, "target_url") or ""
    if status in _REDIRECTING and not target_url:
        raise UncompilableRoute(f"code {row['short_code']!r}: has no target_url")
    is_forwarding, pinned = _forwarding(row)
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
        rules=_rules(row),
        forward_query=is_forwarding,
        pinned_query=pinned,
        max_scans=row["max_scans"],
        password_hash=row["password_hash"],
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
    return None if at is None else unix_ns(at)


def _rules(row: Mapping[str, Any]) -> tuple[Rule, ...]:
    if not row["rules"]:
        return ()
    try:
        return tuple(compile_rule(rule) for rule in parse_rules(row["rules"]))
    except InvalidRules as error:
        raise UncompilableRoute(f"code {row['short_code']!r}: {error}") from None


def _forwarding(row: Mapping[str, Any]) -> tuple[bool, tuple[str, ...]]:
    try:
        return parse_forward_query(row["forward_query"])
    except InvalidForwardQuery as error:
        raise UncompilableRoute(f"code {row['short_code']!r}: forward_query {error}") from None

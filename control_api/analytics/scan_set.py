"""Which scans are meant, as the WHERE of a statement: always the caller's workspace first, then the period."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from control_api.analytics.conditions import Condition, condition_sql
from control_api.analytics.fields import BOT_FIELDS, OUTCOME_FIELDS
from control_api.analytics.model import Period
from control_api.analytics.period import unix_ms
from scanhop.wire.ids import WorkspaceId

Parameters = dict[str, Any]


@dataclass(frozen=True)
class ScanSet:
    """The scans of a workspace from `start` up to, but without, `end`, that meet all `conditions`.

    Counted scans only (redirects), unless `any_outcome`; without those of bots, unless `include_bots`.
    """

    workspace_id: WorkspaceId
    start: datetime
    end: datetime
    conditions: tuple[Condition, ...] = ()
    include_bots: bool = False
    any_outcome: bool = False

    def during(self, period: Period) -> "ScanSet":
        return replace(self, start=period.start, end=period.end)

    def naming(self, names: Iterable[str]) -> "ScanSet":
        """The same for a question that names these fields, too: who asks by outcome means all outcomes."""
        named = {*names, *(condition.field.name for condition in self.conditions)}
        return replace(
            self,
            include_bots=self.include_bots or bool(named & BOT_FIELDS),
            any_outcome=self.any_outcome or bool(named & OUTCOME_FIELDS),
        )


def where_sql(scans: ScanSet) -> tuple[str, Parameters]:
    """(the conditions of a WHERE, their parameters)."""
    parameters: Parameters = {
        "workspace_id": str(scans.workspace_id),
        "start_ms": unix_ms(scans.start),
        "end_ms": unix_ms(scans.end),
    }
    parts = [
        "qr_scan_events.workspace_id = {workspace_id:UUID}",
        "qr_scan_events.scanned_at >= fromUnixTimestamp64Milli({start_ms:Int64}, 'UTC')",
        "qr_scan_events.scanned_at < fromUnixTimestamp64Milli({end_ms:Int64}, 'UTC')",
    ]
    if not scans.any_outcome:
        parts.append("qr_scan_events.outcome = 'redirect'")
    if not scans.include_bots:
        parts.append("NOT qr_scan_events.is_bot")
    for number, condition in enumerate(scans.conditions):
        part, parameters[f"p{number}"] = condition_sql(condition, f"p{number}")
        parts.append(part)
    return "\n  AND ".join(parts), parameters

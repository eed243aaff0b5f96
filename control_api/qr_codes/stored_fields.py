"""Fields of a code as JSON that is kept: in its history and in changes that wait for their time."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from control_api.qr_codes.model import Change, is_same

ROLLED_BACK = (
    *("name", "target_url", "fallback_url", "redirect_status", "forward_query", "rules", "starts_at", "expires_at"),
    *("max_scans", "tags", "design", "type_data"),
)
TOLD = (*ROLLED_BACK, "status", "project_id", "ban_reason", "ban_note")
HAS_PASSWORD = "has_password"  # noqa: S105 - the name of a field
_MARK = "password_mark"
_TIMES = ("starts_at", "expires_at")


def fields_from_json(stored: Mapping[str, Any]) -> dict[str, Any]:
    """As the model has them."""
    fields = dict(stored)
    for name in _TIMES:
        if fields.get(name) is not None:
            fields[name] = datetime.fromisoformat(fields[name])
    if fields.get("project_id") is not None:
        fields["project_id"] = UUID(fields["project_id"])
    return fields


def rollback_to(snapshot: Mapping[str, Any]) -> Change:
    """What a code says, not where it lies, whether it is active or by which password it opens."""
    return Change(fields_from_json({name: snapshot[name] for name in ROLLED_BACK if name in snapshot}))


def find_differences(before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """(field, from, to) of two snapshots; of a password whether there was one and is one. None before: nothing."""
    if before is None:
        return []
    names = [name for name in TOLD if not is_same(before.get(name), after.get(name))]
    found = [(name, before.get(name), after.get(name)) for name in names]
    if (before.get(HAS_PASSWORD), before.get(_MARK)) != (after.get(HAS_PASSWORD), after.get(_MARK)):
        found.append(("password", before.get(HAS_PASSWORD), after.get(HAS_PASSWORD)))
    return found

"""The closed table of what can be asked about a scan: the names are columns of qr_scan_events.

Statements take column names from here and nowhere else. Not in it: the workspace, which is always the caller's.
Addresses are what ingest stored, shortened or not as the setting says.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum


class Kind(Enum):
    """What a value is. The member's value is its type as a ClickHouse parameter."""

    TEXT = "String"
    ID = "UUID"
    FLAG = "Bool"
    NUMBER = "UInt64"
    MOMENT = "Int64"  # milliseconds since 1970


_EQUAL = frozenset({"eq", "ne", "in", "not_in"})
_ORDERED = frozenset({"gt", "gte", "lt", "lte"})
_WORDS = frozenset({"contains", "not_contains", "starts_with"})
LISTS = frozenset({"in", "not_in"})
IS_EMPTY = "is_empty"
OPERATORS: Mapping[Kind, frozenset[str]] = {
    Kind.TEXT: _EQUAL | _WORDS | {IS_EMPTY},
    Kind.ID: _EQUAL | {IS_EMPTY},
    Kind.FLAG: frozenset({"eq", "ne"}),
    Kind.NUMBER: _EQUAL | _ORDERED,
    Kind.MOMENT: _ORDERED,
}
ALL_OPERATORS = tuple(sorted(set().union(*OPERATORS.values())))


@dataclass(frozen=True)
class Field:
    """`shown`: the expression that answers show, where it is not the column itself."""

    name: str
    kind: Kind
    shown: str | None = None

    @property
    def is_groupable(self) -> bool:
        return self.kind is not Kind.MOMENT and self.name not in {"event_id", "visitor"}


def _fields(kind: Kind, *names: str) -> dict[str, Field]:
    return {name: Field(name, kind) for name in names}


# In the order in which rows show them.
FIELDS: Mapping[str, Field] = {
    **_fields(Kind.ID, "event_id"),
    **_fields(Kind.MOMENT, "scanned_at", "received_at"),
    **_fields(Kind.ID, "qr_id", "user_id", "project_id", "domain_id"),
    **_fields(Kind.TEXT, "short_code"),
    **_fields(Kind.NUMBER, "route_version"),
    **_fields(Kind.TEXT, "outcome", "rule_id", "variant"),
    **_fields(Kind.FLAG, "is_bot"),
    **_fields(Kind.TEXT, "bot_reason", "bot_list_version"),
    # As text: most programs that read JSON round whole numbers beyond 2**53.
    "visitor": Field("visitor", Kind.NUMBER, "toString(qr_scan_events.visitor)"),
    **_fields(Kind.TEXT, "ip", "country", "region", "city", "language", "device_type", "os", "browser"),
    **_fields(Kind.TEXT, "user_agent", "referer"),
}
BUCKETS = ("hour", "day", "week", "month")
GROUP_NAMES = (*BUCKETS, *(field.name for field in FIELDS.values() if field.is_groupable))

# Naming one of these says which outcomes are meant, or which bots; else only counted scans are.
OUTCOME_FIELDS = frozenset({"outcome"})
BOT_FIELDS = frozenset({"is_bot", "bot_reason"})

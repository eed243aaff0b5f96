"""A question to POST /v1/query as one statement: rows or groups, a page of them or all.

Names in statements come from the table of fields, values are parameters: nothing that was sent is part of the text.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal
from uuid import UUID

from control_api.analytics.fields import BUCKETS, FIELDS, Kind
from control_api.analytics.model import Period
from control_api.analytics.period import EARLIEST, LATEST, hour_phase_s
from control_api.analytics.scan_set import Parameters, ScanSet, where_sql
from control_api.web.moment import parse_moment
from scanhop.wire.ids import ZERO_UUID

Measure = Literal["count", "visitors"]
Order = Literal["largest", "keys"]
After = Sequence[Any]

_NO_ID = str(ZERO_UUID)  # in ClickHouse; answers say null
# Visitors: a key per day and visitor in 64 bits takes half the memory of the pair.
MEASURES = {
    "count": "count()",
    "visitors": "uniqExactIf(bitXor(visitor, cityHash64(toDate(scanned_at, 'UTC'))), visitor != 0)",
}
_DAY = "toDate(scanned_at, {timezone:String})"
_SECONDS = "intDiv(toInt64(toUnixTimestamp(scanned_at)) - {phase_s:Int64}, 3600) * 3600 + {phase_s:Int64}"
_BUCKETS = {
    "hour": f"fromUnixTimestamp64Milli(({_SECONDS}) * 1000, 'UTC')",
    "day": _DAY,
    "week": f"toDate(dateTrunc('week', {_DAY}))",
    "month": f"toDate(dateTrunc('month', {_DAY}))",
}
_KEY_BOUND = {
    "hour": "parseDateTime64BestEffort({{{0}:String}}, 3, 'UTC')",
    **dict.fromkeys(("day", "week", "month"), "{{{0}:Date}}"),
}


@dataclass(frozen=True)
class Question:
    """Groups by `group_by` with `measures`, or, without measures, rows. `period` gives zone and hours."""

    scans: ScanSet
    period: Period
    measures: tuple[Measure, ...]
    group_by: tuple[str, ...]
    order: Order

    @property
    def is_rows(self) -> bool:
        return not self.measures

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(FIELDS) if self.is_rows else (*self.group_by, *self.measures)


@dataclass(frozen=True)
class Statement:
    sql: str
    parameters: Parameters


def page_statement(question: Question, after: After | None, limit: int) -> Statement:
    """At most `limit` rows or groups, those after `after`: the values that `place_of` gave for the last one."""
    return (_page_of_rows if question.is_rows else _page_of_groups)(question, after, limit)


def place_of(question: Question, row: dict[str, Any]) -> After:
    """Where a row or group stands in the order."""
    if question.is_rows:
        return [row["scanned_at"], row["event_id"]]
    first = [row[question.measures[0]]] if question.order == "largest" else []
    return [*first, *(_NO_ID if row[name] is None else row[name] for name in question.group_by)]


def is_place(question: Question, after: object) -> bool:
    """Whether `after` may be what `place_of` gave."""
    kinds: list[Kind | None] = [Kind.MOMENT, Kind.ID]
    if not question.is_rows:
        first = [Kind.NUMBER] if question.order == "largest" else []
        kinds = [*first, *map(_kind_of_key, question.group_by)]
    return isinstance(after, list) and len(after) == len(kinds) and all(map(_is_key, kinds, after))


def _kind_of_key(name: str) -> Kind | None:
    """None: a date."""
    if name in BUCKETS:
        return Kind.MOMENT if name == "hour" else None
    return FIELDS[name].kind


def _is_key(kind: Kind | None, value: object) -> bool:
    """As ClickHouse writes it."""
    try:
        match kind, value:
            case Kind.TEXT, str():
                return True
            case Kind.FLAG, bool():
                return True
            case Kind.NUMBER, int():
                return not isinstance(value, bool) and 0 <= value < 2**64
            case Kind.ID, str():
                return str(UUID(value)) == value
            case Kind.MOMENT, str():
                return EARLIEST <= parse_moment(value) < LATEST
            case None, str():
                return EARLIEST.date() <= date.fromisoformat(value) < LATEST.date()
    except ValueError:
        pass
    return False


def export_statement(question: Question, *, quotes_formulas: bool) -> Statement:
    """Everything, in an order that needs no memory for rows: code by code, each from the oldest scan.

    `quotes_formulas`: texts that a spreadsheet would run begin with an apostrophe; carriage returns are blanks.
    """
    if not question.is_rows:
        return _groups(question, quotes_formulas=quotes_formulas)
    where, parameters = where_sql(question.scans)
    columns = ", ".join(_shown(name, quotes_formulas=quotes_formulas) for name in question.columns)
    sql = f"""SELECT {columns}
FROM qr_scan_events
WHERE {where}
ORDER BY workspace_id, qr_scan_events.qr_id, qr_scan_events.scanned_at, qr_scan_events.event_id"""  # noqa: S608 - see above
    return Statement(sql, parameters)


def _page_of_rows(question: Question, after: After | None, limit: int) -> Statement:
    where, parameters = where_sql(question.scans)
    if after is not None:
        place = "(parseDateTime64BestEffort({after_0:String}, 3, 'UTC'), {after_1:UUID})"
        where += f"\n  AND (qr_scan_events.scanned_at, qr_scan_events.event_id) < {place}"
        parameters |= {"after_0": after[0], "after_1": after[1]}
    columns = ", ".join(_shown(name, quotes_formulas=False) for name in question.columns)
    sql = f"""SELECT {columns}
FROM qr_scan_events
WHERE {where}
ORDER BY qr_scan_events.scanned_at DESC, qr_scan_events.event_id DESC
LIMIT {{limit:UInt32}}"""  # noqa: S608 - see above
    return Statement(sql, parameters | {"limit": limit})


def _page_of_groups(question: Question, after: After | None, limit: int) -> Statement:
    groups = _groups(question, quotes_formulas=False)
    later, parameters = _after_sql(question, after)
    head, order = groups.sql.rsplit("\nORDER BY", 1) if question.group_by else (groups.sql, "")
    sql = head + (f"\nWHERE {later}" if later else "") + (f"\nORDER BY{order}" if order else "")
    return Statement(f"{sql}\nLIMIT {{limit:UInt32}}", groups.parameters | parameters | {"limit": limit})


def _groups(question: Question, *, quotes_formulas: bool) -> Statement:
    """Keys are k0, k1 … inside, so that no name of an answer is taken for a column."""
    where, parameters = where_sql(question.scans)
    if set(question.group_by) & set(BUCKETS):
        parameters |= {"timezone": question.period.zone.key, "phase_s": hour_phase_s(question.period)}
    keys = [f"{_BUCKETS.get(name, name)} AS k{number}" for number, name in enumerate(question.group_by)]
    measures = [f"{MEASURES[name]} AS m{number}" for number, name in enumerate(question.measures)]
    order = [f"k{number}" for number in range(len(keys))]
    grouping = f"\nGROUP BY {', '.join(order)}" if keys else ""
    if question.order == "largest":
        order = ["m0 DESC", *order]
    shown = [_cell(f"k{at}", name, quotes_formulas) for at, name in enumerate(question.group_by)]
    shown += [f"m{at} AS `{name}`" for at, name in enumerate(question.measures)]
    inner = f"SELECT {', '.join([*keys, *measures])}\nFROM qr_scan_events\nWHERE {where}{grouping}"
    ordering = f"\nORDER BY {', '.join(order)}" if keys else ""
    return Statement(f"SELECT {', '.join(shown)}\nFROM (\n{inner}\n){ordering}", parameters)


def _after_sql(question: Question, after: After | None) -> tuple[str, Parameters]:
    if after is None or not question.group_by:
        return "", {}
    parameters = {f"after_{number}": value for number, value in enumerate(after)}
    offset = int(question.order == "largest")
    keys = ", ".join(f"k{number}" for number in range(len(question.group_by)))
    bounds = ", ".join(_key_bound(name, f"after_{at + offset}") for at, name in enumerate(question.group_by))
    later = f"tuple({keys}) > tuple({bounds})"
    if not offset:
        return later, parameters
    return f"(m0 < {{after_0:UInt64}} OR (m0 = {{after_0:UInt64}} AND {later}))", parameters


def _key_bound(name: str, parameter: str) -> str:
    if name in _KEY_BOUND:
        return _KEY_BOUND[name].format(parameter)
    return f"{{{parameter}:{FIELDS[name].kind.value}}}"


def _shown(name: str, *, quotes_formulas: bool) -> str:
    return _cell(FIELDS[name].shown or f"qr_scan_events.{name}", name, quotes_formulas)


def _cell(expression: str, name: str, quotes_formulas: bool) -> str:
    field = FIELDS.get(name)
    if field is not None and field.kind is Kind.ID:
        expression = f"nullIf({expression}, toUUID('{_NO_ID}'))"
    if quotes_formulas and field is not None and field.kind is Kind.TEXT:
        text = f"replaceAll(toString({expression}), '\\r', ' ')"
        starts = r"('=', '+', '-', '@', '\t', '\n', ' ')"
        expression = f"concat(if(substring({text}, 1, 1) IN {starts}, '\\'', ''), {text})"
    return f"{expression} AS `{name}`"

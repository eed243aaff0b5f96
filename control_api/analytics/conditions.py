"""Conditions on scans: checked against the table of fields, then written as SQL whose values are all parameters."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from control_api.analytics.fields import FIELDS, IS_EMPTY, LISTS, OPERATORS, Field, Kind
from control_api.analytics.period import unix_ms
from control_api.web.moment import parse_moment

MAX_CONDITIONS = 20
MAX_VALUES = 1000
MAX_TEXT = 2048
_MAX_NUMBER = 2**64

Value = str | int | bool
_COMPARISONS = {"eq": "=", "ne": "!=", "gt": ">", "gte": ">=", "lt": "<", "lte": "<=", "in": "IN", "not_in": "NOT IN"}
_TEXT_SEARCH = {
    "contains": "positionCaseInsensitiveUTF8({column}, {parameter}) > 0",
    "not_contains": "positionCaseInsensitiveUTF8({column}, {parameter}) = 0",
    "starts_with": "startsWith(lowerUTF8({column}), lowerUTF8({parameter}))",
}


class InvalidCondition(ValueError):
    """`part` is what is wrong in it: field, op or value (or value.N)."""

    def __init__(self, part: str, reason: str) -> None:
        super().__init__(reason)
        self.part = part


@dataclass(frozen=True)
class Condition:
    """`value` is checked: one of the field's kind, a tuple of them for in and not_in, a bool for is_empty."""

    field: Field
    op: str
    value: Value | tuple[Value, ...]


def parse_condition(name: str, op: str, value: object) -> Condition:
    """Raises InvalidCondition."""
    field = FIELDS.get(name)
    if field is None:
        raise InvalidCondition("field", f"must be one of {', '.join(FIELDS)}")
    if op not in OPERATORS[field.kind]:
        raise InvalidCondition("op", f"must be one of {', '.join(sorted(OPERATORS[field.kind]))} for {name}")
    if op == IS_EMPTY:
        return Condition(field, op, _flag(True if value is None else value, "value"))
    if op in LISTS:
        return Condition(field, op, _values(field, value))
    return Condition(field, op, _value(field, value, "value"))


def condition_sql(condition: Condition, parameter: str, table: str = "qr_scan_events") -> tuple[str, object]:
    """(SQL, the value of the parameter that it names `parameter`)."""
    column, kind = f"{table}.{condition.field.name}", condition.field.kind
    if condition.op == IS_EMPTY:
        return f"empty({column}) = {{{parameter}:Bool}}", condition.value
    if isinstance(condition.value, tuple):
        return f"{column} {_COMPARISONS[condition.op]} {{{parameter}:Array({kind.value})}}", list(condition.value)
    bound = f"{{{parameter}:{kind.value}}}"
    if kind is Kind.MOMENT:
        bound = f"fromUnixTimestamp64Milli({bound}, 'UTC')"
    if condition.op in _TEXT_SEARCH:
        return _TEXT_SEARCH[condition.op].format(column=column, parameter=bound), condition.value
    return f"{column} {_COMPARISONS[condition.op]} {bound}", condition.value


def one_of(name: str, values: Sequence[Value]) -> Condition:
    """A condition of ours, whose values are known to be good."""
    return Condition(FIELDS[name], "in", tuple(values))


def _values(field: Field, value: object) -> tuple[Value, ...]:
    if not isinstance(value, list) or not 0 < len(value) <= MAX_VALUES:
        raise InvalidCondition("value", f"must be a list of 1 to {MAX_VALUES} values")
    return tuple(_value(field, each, f"value.{number}") for number, each in enumerate(value))


def _value(field: Field, value: object, part: str) -> Value:
    match field.kind:
        case Kind.TEXT:
            return _text(value, part)
        case Kind.ID:
            return _id(value, part)
        case Kind.FLAG:
            return _flag(value, part)
        case Kind.NUMBER:
            return _number(value, part)
        case Kind.MOMENT:
            return _moment_ms(value, part)


def _text(value: object, part: str) -> str:
    if not isinstance(value, str) or len(value) > MAX_TEXT or "\0" in value:
        raise InvalidCondition(part, f"must be a text of at most {MAX_TEXT} characters, none of them NUL")
    return value


def _id(value: object, part: str) -> str:
    try:
        return str(UUID(value if isinstance(value, str) else ""))
    except ValueError:
        raise InvalidCondition(part, "must be a UUID") from None


def _flag(value: object, part: str) -> bool:
    if not isinstance(value, bool):
        raise InvalidCondition(part, "must be true or false")
    return value


def _number(value: object, part: str) -> int:
    """A visitor is answered as text, so a text of digits will do."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= len(str(_MAX_NUMBER)):
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < _MAX_NUMBER:
        raise InvalidCondition(part, "must be a whole number from 0 to 2**64 - 1")
    return value


def _moment_ms(value: object, part: str) -> int:
    try:
        return unix_ms(parse_moment(value))
    except ValueError as error:
        raise InvalidCondition(part, str(error)) from None

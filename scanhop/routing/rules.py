"""Rules as the API takes them and the table `qr_codes` holds them: a list of JSON objects.

    {"id"?, "when": [{"field", "op", "value"?, "key"?, "timezone"?}], "target_url" | "variants": [...]}

`parse_rules` refuses whatever would not compile, each problem with its path, and gives the normal form: every rule
with an id, lists as lists, targets as browsers read them. The normal form is its own normal form. What is longer than
MAX_BYTES is refused before it is looked into. A key whose value is null is as good as absent.
"""

from collections.abc import Callable
from itertools import count
from typing import Any, TypeVar

import msgspec

from scanhop.routing.condition_values import (
    DEFAULT_TIMEZONE,
    FORMS,
    Form,
    parse_key,
    parse_name,
    parse_timezone,
)
from scanhop.routing.targets import parse_target

MAX_BYTES = 65_536
MAX_RULES = 50
MAX_CONDITIONS = 10
MIN_VARIANTS, MAX_VARIANTS = 2, 10
MAX_WEIGHT = 1000
MAX_PROBLEMS = 100
_MAX_QUOTED = 40

JsonObject = dict[str, Any]
T = TypeVar("T")


class InvalidRules(ValueError):
    """The rules may not be stored. `problems`: a path such as "rules.0.when.1.value", and the reason."""

    def __init__(self, problems: list[tuple[str, str]]) -> None:
        super().__init__("; ".join(f"{path} {reason}" for path, reason in problems))
        self.problems = problems


class _Problems:
    """What was found wrong so far."""

    def __init__(self) -> None:
        self.found: list[tuple[str, str]] = []

    def add(self, path: str, reason: str) -> None:
        if len(self.found) < MAX_PROBLEMS:
            self.found.append((path, reason))

    def attempt(self, path: str, parse: Callable[[Any], T], raw: object) -> T | None:
        """What `parse` makes of it; None, and a problem more, when it raises ValueError."""
        try:
            return parse(raw)
        except ValueError as error:
            self.add(path, str(error))
            return None

    def fields(self, path: str, raw: object, known: tuple[str, ...]) -> JsonObject | None:
        """The keys of an object that are not null; None, and a problem more, when it is none."""
        if not isinstance(raw, dict):
            self.add(path, "must be an object")
            return None
        for key in raw:
            if key not in known:
                self.add(path, f"has an unknown key {str(key)[:_MAX_QUOTED]!r}")
        return {key: value for key, value in raw.items() if value is not None}

    def items(self, path: str, raw: object, at_least: int, at_most: int) -> list[Any]:
        """The items of a list; none, and a problem more, when it is no list or of another length."""
        if isinstance(raw, list) and at_least <= len(raw) <= at_most:
            return raw
        self.add(path, f"must be a list of {at_least} to {at_most}")
        return []


def parse_rules(raw: object) -> list[JsonObject]:
    """The normal form. Raises InvalidRules."""
    problems = _Problems()
    _refuse_too_long(raw)
    items = problems.items("rules", raw, 0, MAX_RULES)
    rules = _with_ids(problems, [_parse_rule(problems, f"rules.{at}", item) for at, item in enumerate(items)])
    if problems.found:
        raise InvalidRules(problems.found)
    _refuse_too_long(rules)
    return rules


def _refuse_too_long(rules: object) -> None:
    try:
        size = len(msgspec.json.encode(rules))
    except (ValueError, TypeError, RecursionError, msgspec.MsgspecError):
        raise InvalidRules([("rules", "must be JSON")]) from None
    if size > MAX_BYTES:
        raise InvalidRules([("rules", f"must not be longer than {MAX_BYTES} bytes of JSON")])


def _with_ids(problems: _Problems, rules: list[JsonObject]) -> list[JsonObject]:
    """A rule without an id gets one; those that have one keep it."""
    taken: set[str] = set()
    for at, name in enumerate(rule.get("id") for rule in rules):
        if name in taken:
            problems.add(f"rules.{at}.id", "is the id of another rule")
        elif name is not None:
            taken.add(name)
    free = (f"r{number}" for number in count(1) if f"r{number}" not in taken)
    return [rule if "id" in rule else {"id": next(free), **rule} for rule in rules]


def _parse_rule(problems: _Problems, path: str, raw: object) -> JsonObject:
    fields = problems.fields(path, raw, ("id", "when", "target_url", "variants"))
    if fields is None:
        return {}
    rule: JsonObject = {}
    if "id" in fields:
        rule["id"] = problems.attempt(f"{path}.id", parse_name, fields["id"])
    conditions = problems.items(f"{path}.when", fields.get("when"), 1, MAX_CONDITIONS)
    rule["when"] = [_parse_condition(problems, f"{path}.when.{at}", item) for at, item in enumerate(conditions)]
    if ("target_url" in fields) is ("variants" in fields):
        problems.add(path, "must have either target_url or variants")
    elif "target_url" in fields:
        rule["target_url"] = problems.attempt(f"{path}.target_url", _parse_target, fields["target_url"])
    else:
        rule["variants"] = _parse_variants(problems, f"{path}.variants", fields["variants"])
    return rule


def _parse_variants(problems: _Problems, path: str, raw: object) -> list[JsonObject]:
    items = problems.items(path, raw, MIN_VARIANTS, MAX_VARIANTS)
    variants = [_parse_variant(problems, f"{path}.{at}", item) for at, item in enumerate(items)]
    names = [variant.get("name") for variant in variants]
    for at, name in enumerate(names):
        if name is not None and name in names[:at]:
            problems.add(f"{path}.{at}.name", "is the name of another variant")
    return variants


def _parse_variant(problems: _Problems, path: str, raw: object) -> JsonObject:
    fields = problems.fields(path, raw, ("name", "weight", "target_url"))
    if fields is None:
        return {}
    parts = {"name": parse_name, "weight": _parse_weight, "target_url": _parse_target}
    return {part: problems.attempt(f"{path}.{part}", parse, fields.get(part)) for part, parse in parts.items()}


def _parse_weight(raw: object) -> int:
    if type(raw) is int and 1 <= raw <= MAX_WEIGHT:
        return raw
    raise ValueError(f"must be a whole number of 1 to {MAX_WEIGHT}")


def _parse_target(raw: object) -> str:
    if not isinstance(raw, str):
        raise ValueError("must be text")
    return parse_target(raw)


def _parse_condition(problems: _Problems, path: str, raw: object) -> JsonObject:
    fields = problems.fields(path, raw, ("field", "op", "value", "key", "timezone"))
    if fields is None:
        return {}
    name, op = fields.get("field"), fields.get("op")
    form = FORMS.get(name) if isinstance(name, str) else None
    if form is None:
        problems.add(f"{path}.field", f"must be one of {', '.join(FORMS)}")
        return {}
    if not isinstance(op, str) or op not in form.ops:
        problems.add(f"{path}.op", f"must be one of {', '.join(form.ops)}")
        return {}
    return {"field": name, "op": op} | _parse_details(problems, path, fields, form)


def _parse_details(problems: _Problems, path: str, fields: JsonObject, form: Form) -> JsonObject:
    """The key, the time zone and the value, each where the field and its operator have one."""
    details: JsonObject = {}
    if form.has_key:
        details["key"] = problems.attempt(f"{path}.key", parse_key, fields.get("key"))
    if form.has_timezone and "timezone" in fields:
        details["timezone"] = problems.attempt(f"{path}.timezone", parse_timezone, fields["timezone"])
    parse = form.ops[fields["op"]]
    if parse is not None:
        timezone = details.get("timezone") or DEFAULT_TIMEZONE
        details["value"] = problems.attempt(f"{path}.value", lambda raw: parse(raw, timezone), fields.get("value"))
    for part in ("key", "timezone", "value"):
        if part in fields and part not in details:
            problems.add(f"{path}.{part}", f"does not go with {fields['field']} {fields['op']}")
    return details

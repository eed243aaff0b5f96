import json
from typing import Any

import pytest

from scanhop.routing.rules import (
    MAX_BYTES,
    MAX_CONDITIONS,
    MAX_PROBLEMS,
    MAX_RULES,
    MAX_VARIANTS,
    InvalidRules,
    parse_rules,
)

TARGET = "https://example.com/"
MOBILE = {"field": "device", "op": "in", "value": ["mobile"]}


def rule(**fields: Any) -> dict[str, Any]:
    return {"when": [MOBILE], "target_url": TARGET} | fields


def variant(name: str, **fields: Any) -> dict[str, Any]:
    return {"name": name, "weight": 1, "target_url": TARGET} | fields


def condition(field: str, op: str, value: Any = None, **more: Any) -> dict[str, Any]:
    return {"field": field, "op": op} | ({} if value is None else {"value": value}) | more


def problems_of(raw: object) -> list[tuple[str, str]]:
    with pytest.raises(InvalidRules) as caught:
        parse_rules(raw)
    return caught.value.problems


def paths_of(raw: object) -> list[str]:
    return [path for path, _ in problems_of(raw)]


def parsed(found: dict[str, Any]) -> dict[str, Any]:
    """The condition as it is stored."""
    (only,) = parse_rules([rule(when=[found])])
    return only["when"][0]


def test_no_rules_are_fine():
    assert parse_rules([]) == []


def test_rules_in_their_normal_form_stay_as_they_are():
    stored = [rule(id="a"), {"id": "b", "when": [MOBILE], "variants": [variant("x"), variant("y", weight=1000)]}]
    assert parse_rules(stored) == stored
    assert parse_rules(parse_rules(stored)) == stored


def test_a_rule_without_an_id_gets_a_number_that_is_free():
    rules = [rule(), rule(id="r1"), rule(), rule(id="r3"), rule(id=None)]
    assert [found["id"] for found in parse_rules(rules)] == ["r2", "r1", "r4", "r3", "r5"]


def test_targets_are_stored_as_browsers_read_them():
    weighted = [variant("a", target_url="HTTPS://EXAMPLE.com"), variant("b")]
    assert parse_rules([rule(target_url="https://b\u00fccher.example")])[0]["target_url"] == (
        "https://xn--bcher-kva.example/"
    )
    assert parse_rules([{"when": [MOBILE], "variants": weighted}])[0]["variants"][0]["target_url"] == TARGET


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        (condition("device", "in", "Mobile"), condition("device", "in", ["mobile"])),
        (condition("country", "not_in", ["at", "De"]), condition("country", "not_in", ["AT", "DE"])),
        (condition("weekday", "in", "MON"), condition("weekday", "in", ["mon"])),
        (condition("os", "in", "iOS"), condition("os", "in", ["iOS"])),
        (condition("city", "in", ["Wien", "\u6771\u4eac"]), condition("city", "in", ["Wien", "\u6771\u4eac"])),
        (condition("language", "in", "pt-BR"), condition("language", "in", ["pt-BR"])),
        (condition("ip", "in", "192.0.2.7/24"), condition("ip", "in", ["192.0.2.0/24"])),
        (condition("ip", "in", "192.0.2.7/32"), condition("ip", "in", ["192.0.2.7"])),
        (condition("ip", "in", "2001:DB8::1"), condition("ip", "in", ["2001:db8::1"])),
        (condition("ip", "in", "::ffff:192.0.2.7"), condition("ip", "in", ["192.0.2.7"])),
        (condition("ip", "in", "::ffff:0:0/95"), condition("ip", "in", ["::fffe:0:0/95"])),
        (condition("query", "is", "", key="a"), condition("query", "is", "", key="a")),
        (condition("query", "in", "b", key="a"), condition("query", "in", ["b"], key="a")),
        (condition("query", "exists", key="a", value=None), condition("query", "exists", key="a")),
        (condition("scans", "lt", 0), condition("scans", "lt", 0)),
        (
            condition("date", "between", {"from": "2026-01-01", "to": None}, timezone=None),
            condition("date", "between", {"from": "2026-01-01"}),
        ),
        (
            condition("hour", "between", {"to": "06:00", "from": "22:30"}, timezone="Europe/Vienna"),
            condition("hour", "between", {"from": "22:30", "to": "06:00"}, timezone="Europe/Vienna"),
        ),
    ],
)
def test_a_condition_is_stored_in_its_normal_form(given, stored):
    assert parsed(given) == stored
    assert parsed(stored) == stored


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        (None, "rules"),
        ({}, "rules"),
        ("[]", "rules"),
        ([rule()] * (MAX_RULES + 1), "rules"),
        ([None], "rules.0"),
        ([[]], "rules.0"),
        ([{}], "rules.0.when"),
        ([rule(when=[])], "rules.0.when"),
        ([rule(when={})], "rules.0.when"),
        ([rule(when=[MOBILE] * (MAX_CONDITIONS + 1))], "rules.0.when"),
        ([rule(when=[MOBILE, None])], "rules.0.when.1"),
        ([rule(extra=1)], "rules.0"),
        ([rule(id="")], "rules.0.id"),
        ([rule(id="a" * 33)], "rules.0.id"),
        ([rule(id="caf\u00e9")], "rules.0.id"),
        ([rule(id="a\n")], "rules.0.id"),
        ([rule(id=1)], "rules.0.id"),
        ([rule(id="a"), rule(), rule(id="a")], "rules.2.id"),
        ([{"when": [MOBILE]}], "rules.0"),
        ([rule(variants=[variant("a"), variant("b")])], "rules.0"),
        ([rule(target_url="ftp://example.com/")], "rules.0.target_url"),
        ([rule(target_url="https://example.com/\r\nSet-Cookie: a=b")], "rules.0.target_url"),
        ([rule(target_url=["https://example.com/"])], "rules.0.target_url"),
        ([{"when": [MOBILE], "variants": [variant("a")]}], "rules.0.variants"),
        ([{"when": [MOBILE], "variants": [variant("a")] * (MAX_VARIANTS + 1)}], "rules.0.variants"),
        ([{"when": [MOBILE], "variants": "ab"}], "rules.0.variants"),
        ([{"when": [MOBILE], "variants": [variant("a"), 1]}], "rules.0.variants.1"),
        ([{"when": [MOBILE], "variants": [variant("a"), variant("a")]}], "rules.0.variants.1.name"),
        ([{"when": [MOBILE], "variants": [variant("a"), variant("b", weight=0)]}], "rules.0.variants.1.weight"),
        ([{"when": [MOBILE], "variants": [variant("a"), variant("b", weight=1001)]}], "rules.0.variants.1.weight"),
        ([{"when": [MOBILE], "variants": [variant("a"), variant("b", weight=True)]}], "rules.0.variants.1.weight"),
        ([{"when": [MOBILE], "variants": [variant("a"), variant("b", weight=1.0)]}], "rules.0.variants.1.weight"),
        (
            [{"when": [MOBILE], "variants": [variant("a", target_url="x"), variant("b")]}],
            "rules.0.variants.0.target_url",
        ),
        ([{"when": [MOBILE], "variants": [variant("a"), variant("b", x=1)]}], "rules.0.variants.1"),
    ],
)
def test_what_is_no_rule_is_refused_where_it_is_wrong(raw, path):
    assert path in paths_of(raw)


@pytest.mark.parametrize(
    ("found", "part"),
    [
        (condition("colour", "in", ["red"]), "field"),
        (condition("Device", "in", ["mobile"]), "field"),
        ({"op": "in", "value": ["mobile"]}, "field"),
        ({"field": ["device"], "op": "in", "value": ["mobile"]}, "field"),
        (condition("device", "is", "mobile"), "op"),
        ({"field": "device", "value": "mobile"}, "op"),
        ({"field": "device", "op": {}, "value": "mobile"}, "op"),
        (condition("query", "not_in", ["a"], key="b"), "op"),
        (condition("date", "in", ["2026-01-01"]), "op"),
        (condition("device", "in", ["phone"]), "value"),
        (condition("device", "in"), "value"),
        (condition("device", "in", []), "value"),
        (condition("device", "in", {}), "value"),
        (condition("device", "in", ["mobile"] * 101), "value"),
        (condition("device", "in", ["mobile", 1]), "value"),
        (condition("os", "in", [""]), "value"),
        (condition("os", "in", ["a" * 101]), "value"),
        (condition("os", "in", ["a\0"]), "value"),
        (condition("country", "in", ["AUT"]), "value"),
        (condition("country", "in", ["\u00c4T"]), "value"),
        (condition("language", "in", ["*"]), "value"),
        (condition("language", "in", ["de_AT"]), "value"),
        (condition("language", "in", ["de-"]), "value"),
        (condition("ip", "in", ["192.0.2"]), "value"),
        (condition("ip", "in", ["192.0.2.0/33"]), "value"),
        (condition("ip", "in", ["fe80::1%eth0"]), "value"),
        (condition("ip", "in", [3221225985]), "value"),
        (condition("query", "is", key="a"), "value"),
        (condition("query", "is", ["b"], key="a"), "value"),
        (condition("query", "exists", "b", key="a"), "value"),
        (condition("query", "exists"), "key"),
        (condition("query", "exists", key=""), "key"),
        (condition("query", "exists", key=1), "key"),
        (condition("device", "in", ["mobile"], key="a"), "key"),
        (condition("device", "in", ["mobile"], timezone="UTC"), "timezone"),
        (condition("weekday", "in", ["mon"], timezone="Vienna"), "timezone"),
        (condition("weekday", "in", ["mon"], timezone="../UTC"), "timezone"),
        (condition("weekday", "in", ["mon"], timezone=["UTC"]), "timezone"),
        (condition("weekday", "in", ["monday"]), "value"),
        (condition("hour", "between", {"from": "08:00"}), "value"),
        (condition("hour", "between", {"from": "08:00", "to": "08:00"}), "value"),
        (condition("hour", "between", {"from": "8:00", "to": "09:00"}), "value"),
        (condition("hour", "between", {"from": "08:00", "to": "24:00"}), "value"),
        (condition("hour", "between", {"from": "08:00", "to": "09:60"}), "value"),
        (condition("hour", "between", {"from": "08:00", "to": "09:00", "x": 1}), "value"),
        (condition("hour", "between", ["08:00", "09:00"]), "value"),
        (condition("hour", "between", {"from": 8, "to": 9}), "value"),
        (condition("date", "between", {}), "value"),
        (condition("date", "between", {"from": "2026-02-30"}), "value"),
        (condition("date", "between", {"from": "tomorrow"}), "value"),
        (condition("date", "between", {"from": "2026-01-02", "to": "2026-01-01"}), "value"),
        (condition("date", "between", {"from": "2026-01-01", "to": "2026-01-01T00:00Z"}), "value"),
        (condition("scans", "gte", -1), "value"),
        (condition("scans", "gte", 1.0), "value"),
        (condition("scans", "gte", True), "value"),
        (condition("scans", "gte", "1"), "value"),
        (condition("scans", "gte", 2**63), "value"),
    ],
)
def test_what_is_no_condition_is_refused_where_it_is_wrong(found, part):
    assert paths_of([rule(), rule(when=[MOBILE, found])]) == [f"rules.1.when.1.{part}"]


def test_every_problem_is_told():
    raw = [rule(id="?"), rule(target_url="x", when=[condition("device", "in", ["phone"]), {}]), 7]
    assert paths_of(raw) == [
        "rules.0.id",
        "rules.1.when.0.value",
        "rules.1.when.1.field",
        "rules.1.target_url",
        "rules.2",
    ]


def test_a_problem_names_the_item_of_a_list_that_is_wrong():
    ((_, reason),) = problems_of([rule(when=[condition("country", "in", ["AT", "Austria"])])])
    assert reason == "item 1: must be a country code of two letters"


def test_a_key_that_is_not_known_is_quoted_only_in_part():
    ((_, reason),) = problems_of([rule(**{"x" * 10_000: 1})])
    assert len(reason) < 100


def test_only_so_many_problems_are_told():
    assert len(problems_of([rule(when=[{"field": "x"}] * MAX_CONDITIONS)] * MAX_RULES)) == MAX_PROBLEMS


def test_the_message_tells_the_problems_too():
    with pytest.raises(InvalidRules, match=r"rules\.0\.id must be 1 to 32"):
        parse_rules([rule(id="")])


def long_rules(size: int) -> list[dict[str, Any]]:
    """Rules of so many bytes of JSON."""
    rules = [rule(id=f"r{at}", target_url=TARGET) for at in range(MAX_RULES)]
    for found in rules:
        left = size - len(json.dumps(rules, separators=(",", ":")))
        found["target_url"] = TARGET + "a" * min(left, 2000)
    return rules


def test_rules_of_the_greatest_size_are_taken():
    rules = long_rules(MAX_BYTES)
    assert parse_rules(rules) == rules


def test_longer_rules_are_refused():
    assert paths_of(long_rules(MAX_BYTES + 1)) == ["rules"]


def test_rules_that_become_too_long_are_refused():
    rules = [rule(target_url=TARGET + "\u00e4" * 330) for _ in range(MAX_RULES)]
    assert len(json.dumps(rules, ensure_ascii=False).encode()) < MAX_BYTES
    assert problems_of(rules) == [("rules", f"must not be longer than {MAX_BYTES} bytes of JSON")]


def nested(depth: int) -> list[Any]:
    found: list[Any] = []
    for _ in range(depth):
        found = [found]
    return found


@pytest.mark.parametrize("raw", [nested(10_000), [{"id": "\ud800"}], [object()], [rule(when=[{1, 2}, object()])]])
def test_what_is_not_json_is_refused(raw):
    assert paths_of(raw) == ["rules"]


def test_huge_input_is_refused_without_a_look_into_it():
    assert problems_of([rule(target_url="x" * 10_000_000)]) == [
        ("rules", f"must not be longer than {MAX_BYTES} bytes of JSON")
    ]

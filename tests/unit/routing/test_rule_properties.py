"""Whatever is taken for rules compiles, is read back as it was written, and leads somewhere safe."""

import ipaddress
from typing import Any

from hypothesis import given, reject
from hypothesis import strategies as st

from scanhop.client_facts.client_address import unmap
from scanhop.routing.compilation import UncompilableRoute, compile_route
from scanhop.routing.condition_values import FORMS
from scanhop.routing.decision import decide
from scanhop.routing.facts import GivenDevice, GivenFacts
from scanhop.routing.rules import InvalidRules, parse_rules
from scanhop.routing.targets import is_header_safe
from scanhop.wire.route import decode_route, encode_route
from tests.unit.routing.rows import row

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)
texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12)
names = st.text("abcXYZ019_-", min_size=1, max_size=6)
targets = st.sampled_from(
    ["https://example.com/", "https://b\u00fccher.example/?a=1&b#c", "http://[::1]:8080/p?utm=q"]
)
timezones = st.sampled_from(["UTC", "Europe/Vienna", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe"])
times_of_day = st.builds("{:02}:{:02}".format, st.integers(0, 23), st.integers(0, 59))
dates = st.dates().map(str) | st.datetimes().map(lambda at: at.isoformat()[:19])
lists = {
    "device": st.sampled_from(["mobile", "tablet", "desktop", "bot", "OTHER"]),
    "country": st.sampled_from(["AT", "de"]),
    "language": st.sampled_from(["de", "pt-BR", "zh-hant"]),
    "ip": st.ip_addresses().map(str) | st.sampled_from(["0.0.0.0/0", "::/0", "::ffff:0:0/96", "10.0.0.0/8"]),
    "weekday": st.sampled_from(["mon", "SUN"]),
}
others = {
    "date": st.fixed_dictionaries({"from": dates})
    | st.fixed_dictionaries({"to": dates, "from": st.just("0001-01-01")}),
    "hour": st.fixed_dictionaries({"from": times_of_day, "to": times_of_day}),
    "scans": st.integers(0, 2**63 - 1),
}


def _texts_of(field: str, op: str) -> st.SearchStrategy[Any]:
    return texts if op == "is" else st.lists(lists.get(field, texts), min_size=1, max_size=3)


@st.composite
def conditions(draw: st.DrawFn) -> dict[str, Any]:
    """Most are right."""
    field = draw(st.sampled_from(list(FORMS)))
    op = draw(st.sampled_from(list(FORMS[field].ops)))
    found: dict[str, Any] = {"field": field, "op": op}
    if FORMS[field].ops[op] is not None:
        found["value"] = draw(others[field] if field in others else _texts_of(field, op))
    if FORMS[field].has_key:
        found["key"] = draw(texts)
    if FORMS[field].has_timezone and draw(st.booleans()):
        found["timezone"] = draw(timezones)
    return found


variants = st.fixed_dictionaries({"name": names, "weight": st.integers(1, 1000), "target_url": targets})
ways = st.fixed_dictionaries({"target_url": targets}) | st.fixed_dictionaries(
    {"variants": st.lists(variants, min_size=2, max_size=4, unique_by=lambda variant: variant["name"])}
)
rules = st.builds(
    lambda when, way, more: {"when": when} | way | more,
    st.lists(conditions(), min_size=1, max_size=3),
    ways,
    st.just({}) | st.fixed_dictionaries({"id": names}),
)
facts = st.builds(
    GivenFacts,
    now_ns=st.integers(-(2**63), 2**63 - 1),
    device=st.builds(GivenDevice, texts, texts, texts),
    address=st.none() | st.ip_addresses(),
    country=texts,
    region=texts,
    city=texts,
    languages=st.lists(st.tuples(texts, st.floats(0, 1))).map(tuple),
    query=st.binary() | texts.map(str.encode),
    user_agent=texts,
    scans=st.none() | st.integers(0),
    is_unlocked=st.booleans(),
    ab_secret=st.binary(),
)
forwards = st.booleans() | st.fixed_dictionaries({"pinned": st.lists(texts, max_size=3)})


def problems_of(raw: object) -> list[tuple[str, str]] | None:
    try:
        parse_rules(raw)
    except InvalidRules as error:
        return error.problems
    return None


@given(json_values | st.lists(json_values) | st.lists(rules | json_values))
def test_any_json_is_rules_or_refused(raw):
    problems = problems_of(raw)
    assert problems is None or problems
    assert all(path.startswith("rules") and reason for path, reason in problems or ())


@given(
    st.lists(st.fixed_dictionaries({}, optional=dict.fromkeys(["id", "when", "target_url", "variants"], json_values)))
)
def test_anything_in_place_of_a_part_is_a_part_or_refused(raw):
    problems = problems_of(raw)
    assert problems is None or problems


@given(st.lists(rules, max_size=4), facts, forwards)
def test_what_is_taken_is_its_own_normal_form_compiles_and_leads_somewhere_safe(raw, scan, forward):
    try:
        parsed = parse_rules(raw)
    except InvalidRules:
        reject()
    assert parse_rules(parsed) == parsed
    route = compile_route(row(rules=parsed, forward_query=forward))
    assert decode_route(encode_route(route)) == route
    decision = decide(route, scan)
    assert decision.location is not None
    assert is_header_safe(decision.location)
    assert decision.rule_id in ("", *(rule["id"] for rule in parsed))


@given(st.lists(rules, min_size=1, max_size=3), facts, st.data())
def test_a_route_that_was_damaged_and_still_read_leads_somewhere_without_an_exception(raw, scan, data):
    try:
        damaged = bytearray(encode_route(compile_route(row(rules=raw, forward_query=True))))
    except UncompilableRoute:
        reject()
    damaged[data.draw(st.integers(9, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    route = decode_route(bytes(damaged))
    if route is not None:
        decide(route, scan)


@given(st.ip_addresses().filter(lambda address: unmap(address) is address), st.data())
def test_an_address_is_in_its_own_networks_and_in_no_other(address, data):
    own = ipaddress.ip_network((address, data.draw(st.integers(1, address.max_prefixlen))), strict=False)
    sibling = next(other for other in own.supernet().subnets() if other != own)
    for network, is_inside in ((own, True), (sibling, False)):
        when = [{"field": "ip", "op": "in", "value": str(network)}]
        route = compile_route(row(rules=[{"when": when, "target_url": "https://example.com/in"}]))
        assert (decide(route, GivenFacts(0, address=address)).rule_id == "r1") == is_inside

import struct

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanhop.wire.route import (
    FORMAT,
    Condition,
    Kind,
    Route,
    Rule,
    Status,
    Variant,
    decode_route,
    encode_route,
)
from tests.routes import new_route

HEAD_SIZE = 9
texts = st.text(st.characters(exclude_categories=["Cs"]))
ids = st.binary(min_size=16, max_size=16)
times = st.none() | st.integers(-(2**63), 2**63 - 1)
numbers = st.integers(-(2**63), 2**64 - 1)
halves = st.integers(0, 2**64 - 1)
conditions = st.builds(
    Condition,
    kind=st.integers(0, 255),
    is_negated=st.booleans(),
    texts=st.frozensets(texts, max_size=5),
    key=texts,
    timezone=texts,
    low=numbers,
    high=numbers,
    networks_v4=st.tuples(st.tuples(halves, halves)) | st.just(()),
    networks_v6=st.tuples(st.tuples(halves, halves, halves, halves)) | st.just(()),
)
variants = st.builds(Variant, name=texts, weight=numbers, target_url=texts)
rules = st.builds(
    Rule,
    id=texts,
    when=st.lists(conditions, max_size=3).map(tuple),
    target_url=texts,
    variants=st.lists(variants, max_size=3).map(tuple),
)
routes = st.builds(
    Route,
    domain_id=ids,
    code=texts,
    workspace_id=ids,
    qr_id=ids,
    user_id=ids,
    project_id=ids,
    version=st.integers(0, 2**63 - 1),
    status=st.sampled_from(Status),
    target_url=texts,
    fallback_url=st.none() | texts,
    redirect_status=st.sampled_from([301, 302, 307, 308]),
    opens_at_ns=times,
    closes_at_ns=times,
    banned_for_legal_reason=st.booleans(),
    rules=st.lists(rules, max_size=3).map(tuple),
    forward_query=st.booleans(),
    pinned_query=st.lists(texts, max_size=3).map(tuple),
    max_scans=st.none() | st.integers(1, 2**63 - 1),
    password_hash=st.none() | texts,
)


def with_fields(fields: list[object], version: int = 1) -> bytes:
    """Route bytes as another version of this program might write them."""
    return struct.pack(">BQ", FORMAT, version) + msgspec.msgpack.encode(fields)


def fields_of(route: Route) -> list[object]:
    fields: list[object] = msgspec.msgpack.decode(encode_route(route)[HEAD_SIZE:])
    return fields


@given(routes)
def test_a_route_read_back_is_the_route_that_was_written(route):
    assert decode_route(encode_route(route)) == route


@given(routes)
def test_format_and_version_stand_where_redis_can_compare_them(route):
    assert struct.unpack_from(">BQ", encode_route(route)) == (FORMAT, route.version)


@given(routes, st.integers(0, 255).filter(lambda number: number != FORMAT))
def test_another_format_is_treated_as_absent(route, number):
    assert decode_route(bytes((number,)) + encode_route(route)[1:]) is None


@given(routes)
def test_a_route_cut_short_anywhere_is_treated_as_absent(route):
    data = encode_route(route)
    assert all(decode_route(data[:end]) is None for end in range(len(data)))


@given(routes, st.binary(min_size=1))
def test_bytes_behind_the_route_make_it_absent(route, more):
    assert decode_route(encode_route(route) + more) is None


@given(st.binary(max_size=300))
def test_random_bytes_are_no_route(data):
    assert decode_route(data) is None


@given(st.binary(max_size=300))
def test_random_fields_are_no_route(data):
    assert decode_route(struct.pack(">BQ", FORMAT, 1) + data) is None


@given(routes, st.data())
def test_any_damage_gives_a_route_or_nothing_but_never_an_exception(route, data):
    damaged = bytearray(encode_route(route))
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    assert isinstance(decode_route(bytes(damaged)), Route | None)


def test_text_that_is_not_utf8_makes_the_route_absent():
    assert decode_route(encode_route(new_route(code="abc")).replace(b"abc", b"a\xffc")) is None


def test_nesting_without_end_makes_the_route_absent():
    data = with_fields([*fields_of(new_route()), 0])
    assert decode_route(data[:-1] + b"\x91" * 100_000 + b"\xc0") is None


@pytest.mark.parametrize("more", [[7], ["text", None], [{"key": [1, 2.5, b"x"]}]])
def test_an_older_reader_ignores_fields_that_were_added_later(more):
    route = new_route()
    assert decode_route(with_fields(fields_of(route) + more)) == route


def test_fields_that_an_older_writer_did_not_know_have_their_defaults():
    route = new_route()
    required = [name for name in Route.__struct_fields__ if name not in _defaults()]
    short = with_fields(fields_of(route)[: len(required)])
    assert decode_route(short) == route
    for name, value in _defaults().items():
        assert getattr(decode_route(short), name) == value


def _defaults() -> dict[str, object]:
    names = Route.__struct_fields__
    return dict(zip(names[-len(Route.__struct_defaults__) :], Route.__struct_defaults__, strict=True))


@pytest.mark.parametrize("status", [0, 6, "ACTIVE", None])
def test_a_status_this_version_does_not_know_makes_the_route_absent(status):
    fields = fields_of(new_route())
    fields[Route.__struct_fields__.index("status")] = status
    assert decode_route(with_fields(fields)) is None


def test_the_numbers_of_the_states_never_change():
    assert {status.name: status.value for status in Status} == {
        "ACTIVE": 1,
        "PAUSED": 2,
        "ARCHIVED": 3,
        "DELETED": 4,
        "BANNED": 5,
    }


def test_the_numbers_of_the_kinds_never_change():
    names = "DEVICE OS BROWSER LANGUAGE COUNTRY REGION CITY IP QUERY QUERY_KEY DATE WEEKDAY HOUR SCANS"
    assert {kind.name: kind.value for kind in Kind} == {name: at for at, name in enumerate(names.split(), 1)}


@given(routes)
def test_the_bytes_of_equal_routes_are_equal_whatever_the_order_of_their_texts(route):
    again = decode_route(encode_route(route))
    assert encode_route(again) == encode_route(route)
    texts = ["\u00e4", "b", "a", "ab", ""]
    of_each_order = [new_texts(route, frozenset(order)) for order in (texts, texts[::-1])]
    assert encode_route(of_each_order[0]) == encode_route(of_each_order[1])


def new_texts(route: Route, texts: frozenset[str]) -> Route:
    return msgspec.structs.replace(route, rules=(Rule("r1", (Condition(Kind.CITY, texts=texts),)),))


def test_texts_are_written_in_their_order_whatever_the_hash_of_this_process():
    route = new_texts(new_route(), frozenset("zyxwvutsrqponm"))
    written = fields_of(route)[Route.__struct_fields__.index("rules")][0][1][0][2]
    assert written == sorted("zyxwvutsrqponm")


def test_a_route_written_before_there_were_rules_is_read():
    ids_of = [bytes([number]) * 16 for number in range(5)]
    old = with_fields(
        [ids_of[4], "menu", *ids_of[1:4], bytes(16), 3, 1, "https://a/", None, 302, None, None, False], version=3
    )
    assert decode_route(old) == Route(ids_of[4], "menu", *ids_of[1:4], bytes(16), 3, Status.ACTIVE, "https://a/")


@pytest.mark.parametrize("struct_type", [Condition, Variant, Rule])
def test_fields_added_later_to_what_stands_inside_are_ignored(struct_type):
    examples = {
        Condition: Condition(Kind.HOUR, low=1, high=2),
        Variant: Variant("a", 1, "https://a/"),
        Rule: Rule("r1", ()),
    }
    found = examples[struct_type]
    longer = [*msgspec.msgpack.decode(msgspec.msgpack.encode(found)), "new", [1]]
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(longer), type=struct_type) == found


def test_the_order_of_the_fields_never_changes():
    assert Condition.__struct_fields__[:9] == (
        "kind",
        "is_negated",
        "texts",
        "key",
        "timezone",
        "low",
        "high",
        "networks_v4",
        "networks_v6",
    )
    assert Rule.__struct_fields__[:4] == ("id", "when", "target_url", "variants")
    assert Variant.__struct_fields__[:3] == ("name", "weight", "target_url")
    assert Route.__struct_fields__[:19] == (
        "domain_id",
        "code",
        "workspace_id",
        "qr_id",
        "user_id",
        "project_id",
        "version",
        "status",
        "target_url",
        "fallback_url",
        "redirect_status",
        "opens_at_ns",
        "closes_at_ns",
        "banned_for_legal_reason",
        "rules",
        "forward_query",
        "pinned_query",
        "max_scans",
        "password_hash",
    )

from urllib.parse import parse_qsl

import ada_url
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanhop.routing.forwarding import (
    MAX_FORWARDED_LENGTH,
    InvalidForwardQuery,
    forward_query,
    parse_forward_query,
)
from scanhop.routing.targets import InvalidTarget, is_header_safe, parse_target

BASE = "https://example.com/p"

near_queries = st.lists(st.sampled_from([*"abAB&&==+%# '\"<>\xe4?/", "%61", "%zz", "%26", "a=1"])).map("".join)
queries = st.binary() | near_queries.map(lambda text: text.encode("latin-1"))
keys = st.lists(st.sampled_from(["a", "b", "\u00e4", "a b", "&"]), max_size=3)


def pairs_of(url: str) -> list[tuple[str, str]]:
    return parse_qsl(ada_url.URL(url).search.removeprefix("?"), keep_blank_values=True)


@pytest.mark.parametrize(
    ("target", "query", "pinned", "location"),
    [
        ("", b"a=1", (), "?a=1"),
        ("?", b"a=1", (), "?a=1"),
        ("?b=2", b"a=1", (), "?b=2&a=1"),
        ("?a=2", b"a=1", (), "?a=1"),
        ("?a=2&b=3&a=4", b"a=1", (), "?b=3&a=1"),
        ("?b=2#part?a=3", b"a=1", (), "?b=2&a=1#part?a=3"),
        ("#part", b"a=1", (), "?a=1#part"),
        ("#", b"a=1", (), "?a=1#"),
        ("?a", b"b", (), "?a&b"),
        ("", b"a&a=1&a=2&b=", (), "?a&a=1&a=2&b="),
        ("", b"a=1=2?3", (), "?a=1=2?3"),
        ("", b"&&a=1&&", (), "?a=1"),
        ("?x&&y", b"a", (), "?x&y&a"),
        ("?x&&y", b"&", (), "?x&&y"),
        ("?a=2", b"%61=1", (), "?%61=1"),
        ("?a+b=2", b"a%20b=1", (), "?a%20b=1"),
        ("?a%2Bb=2", b"a+b=1", (), "?a%2Bb=2&a+b=1"),
        ("?A=2", b"a=1", (), "?A=2&a=1"),
        ("?%C3%A4=2", b"\xc3\xa4=1", (), "?%C3%A4=1"),
        ("", b"=1", (), "?=1"),
        ("?a=2", b"a=1&b=1", ("a",), "?a=2&b=1"),
        ("?a=2", b"%61=1", ("a",), "?a=2"),
        ("?b=2", b"a=1", ("a",), "?b=2"),
        ("?\u00e4=2", b"%C3%A4=1&a", ("\u00e4",), "?%C3%A4=2&a"),
        ("", b"a=#<>\"' ", (), "?a=%23%3C%3E%22%27%20"),
        ("", b"a=\r\nSet-Cookie: b", (), "?a=%0D%0ASet-Cookie:%20b"),
        ("", b"a=\0\x7f\x80\xff", (), "?a=%00%7F%80%FF"),
        ("", b"a=%zz%", (), "?a=%zz%"),
        ("", b"redirect=https://evil.example/", (), "?redirect=https://evil.example/"),
    ],
)
def test_a_query_is_handed_on(target, query, pinned, location):
    assert forward_query(parse_target(BASE + target), query, pinned) == BASE + location


def test_the_longest_address_is_handed_on_and_a_longer_one_is_not():
    longest = b"a" * (MAX_FORWARDED_LENGTH - len(BASE) - 1)
    assert len(forward_query(BASE, longest, ())) == MAX_FORWARDED_LENGTH
    assert forward_query(BASE, longest + b"a", ()) == BASE


def test_what_counts_is_the_length_of_what_is_sent():
    assert forward_query(BASE, b"\xff" * 1400, ()) == BASE


@given(st.just("") | near_queries.map("?{}".format), st.just("") | near_queries.map("#{}".format), queries, keys)
def test_what_is_handed_on_is_a_url_in_its_serialised_form_and_says_what_both_said(own, fragment, query, pinned):
    try:
        target = parse_target(BASE + own + fragment)
    except InvalidTarget:
        return
    location = forward_query(target, query, pinned)
    assert is_header_safe(location)
    assert len(location) <= MAX_FORWARDED_LENGTH
    assert ada_url.URL(location).href == location
    assert (ada_url.URL(location).origin, ada_url.URL(location).pathname) == ("https://example.com", "/p")
    assert location.partition("#")[2] == target.partition("#")[2]
    taken = [(key, value) for key, value in incoming(query) if key not in pinned]
    kept = [(key, value) for key, value in pairs_of(target) if key not in {key for key, _ in taken}]
    assert pairs_of(location) == kept + taken


def incoming(query: bytes) -> list[tuple[str, str]]:
    encoded = "".join(
        chr(byte) if chr(byte).isascii() and chr(byte).isprintable() else f"%{byte:02X}" for byte in query
    )
    return parse_qsl(encoded, keep_blank_values=True)


@pytest.mark.parametrize(
    ("raw", "meant"),
    [
        (False, (False, ())),
        (True, (True, ())),
        ({"pinned": []}, (True, ())),
        ({"pinned": ["utm_source", "\u00e4 b"]}, (True, ("utm_source", "\u00e4 b"))),
    ],
)
def test_forwarding_is_off_on_or_with_pinned_keys(raw, meant):
    assert parse_forward_query(raw) == meant


@pytest.mark.parametrize(
    "raw",
    [
        None,
        0,
        "true",
        [],
        {},
        {"pinned": None},
        {"pinned": "a"},
        {"pinned": [1]},
        {"pinned": [""]},
        {"pinned": ["a" * 201]},
        {"pinned": ["\ud800"]},
        {"pinned": ["a"] * 51},
        {"pinned": [], "x": 1},
    ],
)
def test_anything_else_is_refused(raw):
    with pytest.raises(InvalidForwardQuery):
        parse_forward_query(raw)

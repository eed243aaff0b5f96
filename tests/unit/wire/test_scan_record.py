import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from scanhop.wire.ids import DEFAULT_DOMAIN_ID
from scanhop.wire.scan_record import (
    HEADER_NUMBER,
    HEADERS,
    MAX_HEADER_VALUE,
    BadRecord,
    Outcome,
    ScanRecord,
    decode_scan,
    encode_headers,
    encode_route_prefix,
    encode_scan,
    encode_unknown_prefix,
)
from tests.routes import new_route

FORWARDING = (b"x-forwarded-for", b"forwarded")
PREFIX = encode_route_prefix(new_route())

ids = st.binary(min_size=16, max_size=16)
codes = st.text(st.characters(exclude_categories=["Cs"]), max_size=63)
names = st.text(st.characters(exclude_categories=["Cs"]), max_size=60).filter(lambda text: len(text.encode()) < 256)
times = st.integers(0, 2**64 - 1)
outcomes = st.sampled_from(Outcome)
peers = st.sampled_from([0, 4, 16]).flatmap(lambda size: st.binary(min_size=size, max_size=size))
values = st.binary(max_size=100)
known_headers = st.dictionaries(st.sampled_from(HEADERS), values)
routes = st.builds(
    new_route,
    domain_id=ids,
    code=codes.filter(lambda text: len(text.encode()) < 256),
    workspace_id=ids,
    qr_id=ids,
    user_id=ids,
    project_id=ids,
    version=st.integers(0, 2**64 - 1),
)


def scan_with(headers: bytes) -> bytes:
    return encode_scan(PREFIX, 1, Outcome.REDIRECT, b"", headers)


def headers_of(headers: list[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    return decode_scan(scan_with(encode_headers(headers))).headers


@given(routes, times, outcomes, peers, known_headers, names, names)
def test_a_scan_read_back_is_the_scan_that_was_written(route, at_ns, outcome, peer, headers, rule, variant):
    data = encode_scan(
        encode_route_prefix(route),
        at_ns,
        outcome,
        peer,
        encode_headers(list(headers.items())),
        rule.encode(),
        variant.encode(),
    )
    assert decode_scan(data) == ScanRecord(
        workspace_id=route.workspace_id,
        qr_id=route.qr_id,
        user_id=route.user_id,
        project_id=route.project_id,
        domain_id=route.domain_id,
        route_version=route.version,
        code=route.code,
        scanned_at_ns=at_ns,
        outcome=outcome,
        peer=peer,
        rule_id=rule,
        variant=variant,
        headers=headers,
    )


@given(codes)
@example("\N{PILE OF POO}" * 63)
def test_a_scan_of_an_unknown_code_keeps_the_code_as_it_was_scanned(code):
    record = decode_scan(
        encode_scan(encode_unknown_prefix(DEFAULT_DOMAIN_ID.bytes, code), 1, Outcome.UNKNOWN, b"", b"")
    )
    assert record.code == code
    assert (record.workspace_id, record.qr_id, record.domain_id) == (bytes(16), bytes(16), DEFAULT_DOMAIN_ID.bytes)


@given(routes, peers, known_headers)
def test_a_record_cut_short_inside_its_fixed_part_is_bad(route, peer, headers):
    fixed = encode_scan(encode_route_prefix(route), 5, Outcome.REDIRECT, peer, b"", b"rule", b"b")
    for end in range(len(fixed)):
        with pytest.raises(BadRecord):
            decode_scan(fixed[:end])


@given(known_headers.filter(bool))
def test_a_record_cut_short_inside_a_header_is_bad(headers):
    whole = scan_with(encode_headers(list(headers.items())))
    fixed = len(scan_with(b""))
    ends_of_headers = {fixed}
    for value in headers.values():
        ends_of_headers.add(max(ends_of_headers) + 3 + len(value))
    for end in range(fixed, len(whole)):
        if end in ends_of_headers:
            assert decode_scan(whole[:end])
        else:
            with pytest.raises(BadRecord):
                decode_scan(whole[:end])


@given(st.binary(max_size=400))
def test_garbage_is_a_bad_record_and_nothing_worse(data):
    _decode_or_bad(data)


@given(st.binary(max_size=200))
def test_garbage_behind_a_sound_prefix_is_a_bad_record_and_nothing_worse(data):
    _decode_or_bad(PREFIX + data)


@given(routes, peers, known_headers, st.data())
def test_a_damaged_record_is_read_or_bad_and_nothing_worse(route, peer, headers, data):
    record = bytearray(
        encode_scan(
            encode_route_prefix(route), 5, Outcome.HEAD, peer, encode_headers(list(headers.items())), b"r", b"v"
        )
    )
    for _ in range(data.draw(st.integers(1, 4))):
        record[data.draw(st.integers(0, len(record) - 1))] = data.draw(st.integers(0, 255))
    _decode_or_bad(bytes(record))


def _decode_or_bad(data: bytes) -> None:
    try:
        record = decode_scan(data)
    except BadRecord:
        return
    assert len(record.peer) in (0, 4, 16)
    assert record.outcome in Outcome
    assert set(record.headers) <= set(HEADERS)
    assert record.code.encode() in data


@pytest.mark.parametrize("number", [0, 11, 255])
def test_an_outcome_that_is_not_in_the_list_is_bad(number):
    data = bytearray(encode_scan(PREFIX, 1, Outcome.REDIRECT, b"", b""))
    data[len(PREFIX) + 8] = number
    with pytest.raises(BadRecord):
        decode_scan(bytes(data))


@pytest.mark.parametrize("size", [1, 3, 5, 15, 17, 255])
def test_a_peer_address_of_another_size_is_bad(size):
    with pytest.raises(BadRecord, match="peer address"):
        decode_scan(encode_scan(PREFIX, 1, Outcome.REDIRECT, bytes(size), b""))


@pytest.mark.parametrize("secret", [b"cookie", b"authorization", b"proxy-authorization", b"x-api-key", b"host"])
def test_headers_that_are_not_listed_are_never_written(secret):
    data = encode_headers([(secret, b"hunter2"), (b"referer", b"r"), (secret, b"hunter2")])
    assert b"hunter2" not in data
    assert data == encode_headers([(b"referer", b"r")])


@given(st.lists(st.tuples(st.sampled_from(HEADERS) | st.binary(max_size=20), st.binary(max_size=20))))
def test_only_listed_headers_are_read_back(headers):
    assert set(headers_of(headers)) == {name for name, _ in headers if name in HEADERS}


@pytest.mark.parametrize("name", [name for name in HEADERS if name not in FORWARDING])
def test_a_long_value_is_cut_at_its_end(name):
    value = bytes(range(33, 123)) * 50
    assert headers_of([(name, value)]) == {name: value[:MAX_HEADER_VALUE]}


@pytest.mark.parametrize("name", FORWARDING)
def test_a_long_list_of_proxies_keeps_its_right_end_which_the_nearest_proxy_wrote(name):
    value = b"for=192.0.2.1," * 200 + b"for=203.0.113.9"
    kept = headers_of([(name, value)])[name]
    assert value.endswith(kept)
    assert MAX_HEADER_VALUE - 16 <= len(kept) <= MAX_HEADER_VALUE


@pytest.mark.parametrize("name", FORWARDING)
def test_cutting_a_list_of_proxies_never_leaves_half_an_address(name):
    for padding in range(20):
        value = b"x" * padding + b"," + b"212.0.2.111," * 200 + b"203.0.113.9"
        assert {part.strip() for part in headers_of([(name, value)])[name].split(b",")} <= {
            b"212.0.2.111",
            b"203.0.113.9",
        }


@pytest.mark.parametrize("name", FORWARDING)
def test_one_element_that_is_too_long_leaves_nothing_to_believe(name):
    assert headers_of([(name, b"1" * 5000)]) == {name: b""}


@given(st.sampled_from(HEADERS), st.lists(values, min_size=1, max_size=5))
def test_repeated_headers_are_joined_in_their_order(name, repeated):
    assert headers_of([(name, value) for value in repeated]) == {name: b", ".join(repeated)}


@given(known_headers, st.integers(len(HEADERS) + 1, 255) | st.just(0), values)
def test_headers_that_a_newer_edge_may_write_are_skipped(headers, number, value):
    unknown = struct.pack("<BH", number, len(value)) + value
    encoded = encode_headers(list(headers.items()))
    assert decode_scan(scan_with(unknown + encoded + unknown)).headers == headers


def test_an_empty_value_is_kept():
    assert headers_of([(b"user-agent", b"")]) == {b"user-agent": b""}


def test_the_numbers_of_headers_never_change():
    assert HEADER_NUMBER == {
        b"user-agent": 1,
        b"referer": 2,
        b"accept-language": 3,
        b"x-forwarded-for": 4,
        b"forwarded": 5,
        b"purpose": 6,
        b"sec-purpose": 7,
        b"x-purpose": 8,
        b"x-moz": 9,
    }


def test_the_numbers_and_labels_of_outcomes_never_change():
    assert {outcome.value: outcome.label for outcome in Outcome} == {
        1: "redirect",
        2: "deleted",
        3: "banned",
        4: "paused",
        5: "not_yet",
        6: "expired",
        7: "limit",
        8: "locked",
        9: "unknown",
        10: "head",
    }


def test_the_bytes_of_a_record_never_change():
    route = new_route(
        domain_id=b"d" * 16,
        workspace_id=b"w" * 16,
        qr_id=b"q" * 16,
        user_id=b"u" * 16,
        project_id=b"p" * 16,
        version=258,
        code="menu",
    )
    data = encode_scan(
        encode_route_prefix(route),
        1,
        Outcome.PAUSED,
        b"\xc0\0\2\1",
        encode_headers([(b"referer", b"me")]),
        b"R",
        b"V",
    )
    assert data == (
        b"w" * 16 + b"q" * 16 + b"u" * 16 + b"p" * 16 + b"d" * 16 + b"\2\1" + bytes(6) + b"\4menu"
        b"\1" + bytes(7) + b"\4" + b"\4\xc0\0\2\1" + b"\1R" + b"\1V" + b"\2\2\0me"
    )

from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ingest.native_format import encode_string, encode_uuid
from ingest.scan_reader import LATEST_NS, REMEMBERED_ROUTES, Rejection, ScanReader, month_of
from scanhop.wire.scan_record import (
    BadRecord,
    Outcome,
    decode_headers,
    decode_scan,
    encode_headers,
    encode_route_prefix,
    encode_scan,
)
from tests.routes import PHONE, new_route
from tests.unit.ingest.test_enrichment import DAY_NS, NOON, PEER, PREFIX, record, records

FORWARDING = (b"x-forwarded-for", b"forwarded")


@given(st.lists(records | st.binary(max_size=300), max_size=4))
def test_columns_say_what_the_records_say(payloads):
    scans, rejected = ScanReader().read(list(enumerate(payloads)))
    for place, number in enumerate(scans.numbers):
        found = decode_scan(payloads[number])
        route, headers = scans.routes[place], scans.headers[place]
        assert (route.qr_id, route.workspace_id) == (encode_uuid(found.qr_id), encode_uuid(found.workspace_id))
        assert (route.short_code, route.version) == (encode_string(found.code.encode()), found.route_version)
        assert (scans.times_ns[place], scans.peers[place]) == (found.scanned_at_ns, found.peer)
        assert scans.outcomes[place] == found.outcome
        assert scans.chosen[place] == (found.rule_id, found.variant)
        assert headers.user_agent.sent == found.headers.get(b"user-agent", b"")
        assert headers.accept_language == found.headers.get(b"accept-language", b"")
        forwarding = {name: found.headers[name] for name in FORWARDING if name in found.headers}
        assert decode_headers(scans.forwarding[place]) == forwarding
    for number, payload, reason, _ in rejected:
        assert payload == payloads[number]
        assert reason in Rejection
        if reason is Rejection.MALFORMED:
            with pytest.raises(BadRecord):
                decode_scan(payload)


@given(records, st.data())
def test_a_record_cut_short_anywhere_is_what_the_decoder_says(payload, data):
    cut = payload[: data.draw(st.integers(0, len(payload) - 1))]
    scans, _ = ScanReader().read([(0, cut)])
    try:
        decode_scan(cut)
    except BadRecord:
        assert len(scans) == 0
    else:
        assert len(scans) == 1


def test_headers_that_repeat_are_decoded_once_though_proxies_write_others():
    reader = ScanReader()
    chains = [b"198.51.100.1", b"198.51.100.2"]
    payloads = [record({b"x-forwarded-for": chain, b"user-agent": PHONE}) for chain in chains]
    scans, _ = reader.read([*enumerate([*payloads, record()])])
    assert scans.headers[0] is scans.headers[1] is scans.headers[2]
    sent = [decode_headers(found).get(b"x-forwarded-for") for found in scans.forwarding]
    assert sent == [*chains, None]


def test_headers_are_remembered_within_a_bound(monkeypatch):
    monkeypatch.setattr("ingest.scan_reader.REMEMBERED_BYTES", 100_000)
    reader = ScanReader()
    most = 0
    for number in range(2000):
        reader.read([(0, record({b"user-agent": b"%d" % number, b"referer": b"x" * (number % 300)}))])
        used = sum(300 + 3 * len(block) for block in reader._headers)
        assert used <= 100_000
        most = max(most, used)
    assert most > 90_000


def test_routes_are_remembered_within_a_bound():
    reader = ScanReader()
    route = new_route()
    payloads = [
        encode_scan(
            encode_route_prefix(msgspec.structs.replace(route, version=number)), NOON, Outcome.HEAD, PEER, b""
        )
        for number in range(REMEMBERED_ROUTES + 10)
    ]
    scans, _ = reader.read(list(enumerate(payloads)))
    assert [route.version for route in scans.routes] == list(range(len(payloads)))
    assert len(reader._routes) == 10


@pytest.mark.parametrize("headers", [{b"referer": b"x" * 1000}, {b"user-agent": b"\xff" * 200}])
def test_headers_that_take_much_memory_are_not_remembered(headers):
    reader = ScanReader()
    scans, _ = reader.read([(0, record(headers))])
    referer = headers.get(b"referer", b"")
    assert scans.headers[0].referer_value == encode_string(referer)
    assert reader._headers == {}


def test_the_month_is_that_of_the_first_record_that_can_be_a_row():
    payloads = [b"none", record(at_ns=0), record(at_ns=NOON), record(at_ns=NOON + 20 * DAY_NS)]
    scans, rejected = ScanReader().read(list(enumerate(payloads)))
    assert scans.numbers == [2]
    assert [found.reason for found in rejected] == [
        Rejection.MALFORMED,
        Rejection.TIME_OUT_OF_RANGE,
        Rejection.ANOTHER_MONTH,
    ]


def test_a_code_that_is_no_text_is_malformed():
    prefix = encode_route_prefix(new_route(code="menu")).replace(b"menu", b"m\xffnu")
    payload = encode_scan(prefix, NOON, Outcome.REDIRECT, PEER, b"")
    _, rejected = ScanReader().read(
        [(0, payload), (1, encode_scan(PREFIX, NOON, Outcome.REDIRECT, PEER, b"", b"\xff"))]
    )
    assert [found.reason for found in rejected] == [Rejection.MALFORMED] * 2


def test_headers_may_come_twice():
    twice = encode_headers(
        [(b"user-agent", b"a"), (b"x-forwarded-for", b"1"), (b"user-agent", b"b"), (b"x-forwarded-for", b"2")]
    )
    scans, _ = ScanReader().read([(0, encode_scan(PREFIX, NOON, Outcome.REDIRECT, PEER, twice))])
    assert scans.headers[0].user_agent.sent == b"a, b"
    assert decode_headers(scans.forwarding[0]) == {b"x-forwarded-for": b"1, 2"}


@given(st.integers(1, LATEST_NS - 1))
@example(1)
@example(LATEST_NS - 1)
def test_a_moment_is_in_its_utc_month(at_ns):
    since_ns, until_ns = month_of(at_ns)
    assert since_ns <= at_ns < until_ns
    at = datetime.fromtimestamp(at_ns // 10**9, UTC)
    for edge_ns in (since_ns, until_ns - 1):
        edge = datetime.fromtimestamp(edge_ns // 10**9, UTC)
        assert (edge.year, edge.month) == (at.year, at.month)
    if until_ns < LATEST_NS:
        after = datetime.fromtimestamp(until_ns // 10**9, UTC)
        assert (after.year, after.month) != (at.year, at.month)

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.answers import Answer
from edge.local_cache import ready_route
from edge.recorder import Recorder, packed_address, ready_peer
from scanhop.spool import BoundedWriter, LossReason, SpoolLimits, SpoolWriter
from scanhop.wire.ids import DEFAULT_DOMAIN_ID
from scanhop.wire.scan_record import (
    Outcome,
    ScanRecord,
    decode_scan,
    encode_headers,
    encode_route_prefix,
    encode_unknown_prefix,
)
from tests.routes import new_route
from tests.unit.spool.crashes import payloads

ROUTE = new_route()
PREFIX = encode_route_prefix(ROUTE)
KNOWN = ready_route(Answer(302, Outcome.REDIRECT, b""), b"route", PREFIX, 0)
PAUSED = ready_route(Answer(410, Outcome.PAUSED, b""), b"route", PREFIX, 0)
UNKNOWN_PREFIX = encode_unknown_prefix(DEFAULT_DOMAIN_ID.bytes, "nowhere")
PEER = b"\xc0\0\2\7"


def headers(*pairs: tuple[bytes, bytes]) -> bytes:
    return encode_headers(list(pairs))


@pytest.fixture
def spool(spool_root):
    limits = SpoolLimits(max_bytes=20_000, fsync_interval_s=60, max_age_s=3600)
    writer = BoundedWriter(SpoolWriter(spool_root, limits))
    yield writer
    writer.close()


@pytest.fixture
def recorder(spool):
    return Recorder(spool)


def records(spool: BoundedWriter, root) -> list[ScanRecord]:
    return [decode_scan(payload) for payload in payloads(root, spool.spool_id)]


def test_a_recorded_scan_is_in_the_file_once_it_is_flushed(recorder, spool, spool_root):
    before = spool.now_ns()
    kept = headers((b"referer", b"r"), (b"cookie", b"secret"))
    recorder.record(PREFIX, Outcome.REDIRECT, PEER, kept, rule_id=b"r1", variant=b"b")
    assert records(spool, spool_root) == []
    recorder.flush()
    (found,) = records(spool, spool_root)
    assert (found.qr_id, found.code, found.outcome) == (ROUTE.qr_id, ROUTE.code, Outcome.REDIRECT)
    assert (found.peer, found.headers) == (PEER, {b"referer": b"r"})
    assert (found.rule_id, found.variant) == ("r1", "b")
    assert before <= found.scanned_at_ns <= spool.now_ns()


def test_the_ready_scans_of_a_tick_are_recorded_as_each_would_be_alone(recorder, spool, spool_root):
    kept = headers((b"user-agent", b"phone"))
    v6 = bytes(15) + b"\1"
    items = [
        ("one", KNOWN, ready_peer(PEER), kept, b"tail"),
        ("no scan", None, b"data", b"", b""),
        ("two", PAUSED, ready_peer(v6), b"", b"tail"),
        ("three", KNOWN, ready_peer(v6), b"", b"tail"),
    ]
    assert recorder.record_ready(items) == 3
    recorder.flush()
    found = records(spool, spool_root)
    assert [(each.outcome, each.peer, each.headers) for each in found] == [
        (Outcome.REDIRECT, PEER, {b"user-agent": b"phone"}),
        (Outcome.PAUSED, v6, {}),
        (Outcome.REDIRECT, v6, {}),
    ]
    assert len({each.scanned_at_ns for each in found}) == 1
    assert (recorder.scans[Outcome.REDIRECT], recorder.scans[Outcome.PAUSED]) == (2, 1)


def test_a_tick_without_ready_scans_records_nothing(recorder, spool, spool_root):
    assert recorder.record_ready([("no scan", None, b"data", b"", b"")]) == 0
    recorder.flush()
    assert records(spool, spool_root) == []


def test_scans_are_counted_by_what_the_phone_was_told(recorder):
    for outcome in (Outcome.REDIRECT, Outcome.REDIRECT, Outcome.HEAD):
        recorder.record(PREFIX, outcome, b"", b"")
    counted = {outcome: recorder.scans[outcome] for outcome in Outcome if recorder.scans[outcome]}
    assert counted == {Outcome.REDIRECT: 2, Outcome.HEAD: 1}


def test_a_scan_that_is_lost_is_counted_as_answered_and_as_lost(recorder, spool):
    for _ in range(200):
        recorder.record(PREFIX, Outcome.REDIRECT, PEER, headers((b"referer", b"x" * 1000)))
        recorder.flush()
    assert recorder.scans[Outcome.REDIRECT] == 200
    assert spool.lost[LossReason.SPOOL_FULL] == 200 - spool.written_records > 0


def test_unknown_codes_have_their_small_share(recorder, spool):
    for _ in range(50):
        referer = headers((b"referer", b"x" * 500))
        recorder.record(UNKNOWN_PREFIX, Outcome.UNKNOWN, PEER, referer, is_unknown=True)
        recorder.flush()
    assert spool.lost[LossReason.UNKNOWN_SHARE] > 0
    recorder.record(PREFIX, Outcome.REDIRECT, PEER, b"")
    recorder.flush()
    assert spool.lost[LossReason.SPOOL_FULL] == 0


def test_headers_without_end_lose_the_scan_and_nothing_else(recorder, spool):
    recorder.record(PREFIX, Outcome.REDIRECT, PEER, headers(*[(b"referer", b"x" * 2048)] * 40))
    recorder.flush()
    assert spool.lost == {LossReason.TOO_LARGE: 1}


def test_losses_are_logged_at_most_once_a_second(recorder, spool, monkeypatch):
    lines = []
    monkeypatch.setattr(
        "edge.recorder._log", type("Log", (), {"error": lambda _, *line, **facts: lines.append(line)})()
    )
    for _ in range(100):
        recorder.record(PREFIX, Outcome.REDIRECT, b"", headers(*[(b"referer", b"x" * 2048)] * 40))
        recorder.flush()
    assert len(lines) == 1


@pytest.mark.parametrize(
    ("text", "packed"),
    [
        ("192.0.2.7", b"\xc0\0\2\7"),
        ("2001:db8::1", b"\x20\x01\x0d\xb8" + bytes(11) + b"\1"),
        ("fe80::1%eth0", b"\xfe\x80" + bytes(13) + b"\1"),
        ("::ffff:192.0.2.7", bytes(10) + b"\xff\xff\xc0\0\2\7"),
        ("", b""),
        ("localhost", b""),
        ("1.2.3", b""),
        ("/run/scanhop.sock", b""),
    ],
)
def test_a_peer_is_packed_or_left_out(text, packed):
    assert packed_address(text) == packed


@given(st.ip_addresses())
def test_any_address_is_packed_as_it_is(address):
    assert packed_address(str(address)) == address.packed


@given(st.text(st.characters(min_codepoint=1, exclude_categories=["Cs"])))
def test_any_text_is_packed_into_an_address_or_nothing(text):
    assert len(packed_address(text)) in (0, 4, 16)

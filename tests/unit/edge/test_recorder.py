import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.local_cache import CachedRoute
from edge.recorder import Recorder, packed_address
from scanhop.spool import LossReason, SpoolLimits, SpoolWriter
from scanhop.wire.ids import DEFAULT_DOMAIN_ID
from scanhop.wire.scan_record import Outcome, ScanRecord, decode_scan, encode_route_prefix, encode_unknown_prefix
from tests.routes import new_route
from tests.unit.spool.crashes import payloads

ROUTE = new_route()
KNOWN = CachedRoute(ROUTE, encode_route_prefix(ROUTE), 0)
UNKNOWN = CachedRoute(None, encode_unknown_prefix(DEFAULT_DOMAIN_ID.bytes, "nowhere"), 0)


@pytest.fixture
def spool(spool_root):
    writer = SpoolWriter(spool_root, SpoolLimits(max_bytes=20_000, fsync_interval_s=60, max_age_s=3600))
    yield writer
    writer.close()


@pytest.fixture
def recorder(spool):
    return Recorder(spool)


def records(spool: SpoolWriter, root) -> list[ScanRecord]:
    return [decode_scan(payload) for payload in payloads(root, spool.spool_id)]


def test_a_recorded_scan_is_in_the_file_at_once(recorder, spool, spool_root):
    before = spool.now_ns()
    recorder.record(KNOWN, Outcome.REDIRECT, "192.0.2.7", [(b"referer", b"r"), (b"cookie", b"secret")])
    (found,) = records(spool, spool_root)
    assert (found.qr_id, found.code, found.outcome) == (ROUTE.qr_id, ROUTE.code, Outcome.REDIRECT)
    assert (found.peer, found.headers) == (b"\xc0\0\2\7", {b"referer": b"r"})
    assert before <= found.scanned_at_ns <= spool.now_ns()


def test_scans_are_counted_by_what_the_phone_was_told(recorder):
    for outcome in (Outcome.REDIRECT, Outcome.REDIRECT, Outcome.HEAD):
        recorder.record(KNOWN, outcome, "", [])
    assert recorder.scans == {Outcome.REDIRECT: 2, Outcome.HEAD: 1}


def test_a_scan_that_is_lost_is_counted_as_answered_and_as_lost(recorder, spool):
    for _ in range(200):
        recorder.record(KNOWN, Outcome.REDIRECT, "192.0.2.7", [(b"referer", b"x" * 1000)])
    assert recorder.scans[Outcome.REDIRECT] == 200
    assert spool.lost[LossReason.SPOOL_FULL] == 200 - spool.written_records > 0


def test_unknown_codes_have_their_small_share(recorder, spool):
    for _ in range(50):
        recorder.record(UNKNOWN, Outcome.UNKNOWN, "192.0.2.7", [(b"referer", b"x" * 500)])
    assert spool.lost[LossReason.UNKNOWN_SHARE] > 0
    recorder.record(KNOWN, Outcome.REDIRECT, "192.0.2.7", [])
    assert spool.lost[LossReason.SPOOL_FULL] == 0


def test_headers_without_end_lose_the_scan_and_nothing_else(recorder, spool):
    recorder.record(KNOWN, Outcome.REDIRECT, "192.0.2.7", [(b"referer", b"x" * 2048)] * 40)
    assert spool.lost == {LossReason.TOO_LARGE: 1}


def test_losses_are_logged_at_most_once_a_second(recorder, spool, monkeypatch):
    lines = []
    monkeypatch.setattr(
        "edge.recorder._log", type("Log", (), {"error": lambda _, *line, **facts: lines.append(line)})()
    )
    for _ in range(100):
        recorder.record(KNOWN, Outcome.REDIRECT, "", [(b"referer", b"x" * 2048)] * 40)
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

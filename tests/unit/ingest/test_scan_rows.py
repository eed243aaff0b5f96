from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.enrichment import Scan
from ingest.scan_rows import MAX_REFERER, MAX_USER_AGENT, column_names, encode_rows, event_id, is_counted
from scanhop.client_facts.bots import BotReason
from scanhop.client_facts.device import Device, DeviceType
from scanhop.wire.scan_record import HEADERS, Outcome
from tests.unit.ingest.native_decoder import NativeDecoder, rows_of
from tests.unit.ingest.test_enrichment import FULL, NOON, record, records

BATCH_ID = UUID("01931b2e-0000-8000-8000-000000000000")
PHONE = Device(DeviceType.MOBILE, "iOS", "Mobile Safari")


def row_of(scan: Scan, number: int = 0) -> dict[str, object]:
    (row,) = rows_of(encode_rows(BATCH_ID, NOON, [(number, scan)]))
    return row


def scan_with(header: bytes, value: bytes) -> Scan:
    return Scan(record({header: value}), device=PHONE)


def test_an_event_id_is_the_batch_id_with_the_record_number_behind():
    assert event_id(BATCH_ID, 258) == BATCH_ID.bytes[:12] + b"\0\0\1\2"


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_event_ids_differ_by_record_number(one, other):
    assert (event_id(BATCH_ID, one) == event_id(BATCH_ID, other)) == (one == other)


def test_the_columns_are_named_as_in_the_block():
    types, _ = NativeDecoder(encode_rows(BATCH_ID, NOON, [])).block()
    assert list(types) == column_names()


def test_a_row_says_what_the_scan_says():
    row = row_of(FULL.enrich(record()), number=7)
    assert row["event_id"] == UUID(int=BATCH_ID.int + 7)
    assert row["batch_id"] == BATCH_ID
    assert row["scanned_at"] == row["received_at"] == NOON // 10**6
    assert (row["short_code"], row["outcome"], row["ip"]) == (b"menu", b"redirect", b"203.0.113.77")
    assert (row["device_type"], row["os"], row["browser"]) == (b"mobile", b"iOS", b"Mobile Safari")
    assert (row["is_bot"], row["bot_reason"]) == (False, b"")


@given(st.lists(st.tuples(st.integers(0, 2**32 - 1), records), max_size=5))
def test_any_scans_become_as_many_rows_and_every_text_is_utf8(found):
    rows = rows_of(encode_rows(BATCH_ID, NOON, [(number, FULL.enrich(scan)) for number, scan in found]))
    assert len(rows) == len(found)
    for (_, scan), row in zip(found, rows, strict=True):
        assert row["scanned_at"] == scan.scanned_at_ns // 10**6
        for value in row.values():
            if isinstance(value, bytes):
                value.decode()


@pytest.mark.parametrize(("header", "limit"), [(b"user-agent", MAX_USER_AGENT), (b"referer", MAX_REFERER)])
def test_a_long_text_is_cut(header, limit):
    column = header.decode().replace("-", "_")
    assert row_of(scan_with(header, b"x" * 5000))[column] == b"x" * limit


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        (b"caf\xc3\xa9", "caf\u00e9"),
        (b"caf\xe9", "caf\ufffd"),
        (b"\xff" * 3, "\ufffd" * 3),
        (b"\xed\xa0\x80", "\ufffd" * 3),
    ],
)
def test_text_that_is_not_utf8_is_marked_as_such(sent, stored):
    assert row_of(scan_with(b"referer", sent))["referer"] == stored.encode()


def test_of_all_headers_only_user_agent_and_referer_are_stored():
    scan = FULL.enrich(record(dict.fromkeys(HEADERS, b"n0nce")))
    stored = {name for name, value in row_of(scan).items() if isinstance(value, bytes) and b"n0nce" in value}
    assert stored == {"user_agent", "referer"}


@pytest.mark.parametrize("outcome", list(Outcome))
@pytest.mark.parametrize("reason", list(BotReason))
def test_only_a_persons_redirect_is_a_counted_scan(outcome, reason):
    scan = Scan(record(), bot_reason=reason)
    scan.record = type(scan.record)(**{**_fields(scan), "outcome": outcome})
    assert is_counted(scan) == (outcome is Outcome.REDIRECT and reason is BotReason.NONE)


def _fields(scan: Scan) -> dict[str, object]:
    return {name: getattr(scan.record, name) for name in scan.record.__struct_fields__}

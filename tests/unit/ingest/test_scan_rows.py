from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.scan_reader import MAX_REFERER, MAX_USER_AGENT
from ingest.scan_rows import column_names, count_counted, encode_rows, event_id
from scanhop.client_facts.bots import BotReason, list_version
from scanhop.wire.scan_record import HEADERS, MAX_HEADER_VALUE, Outcome, decode_scan
from tests.unit.ingest.native_decoder import NativeDecoder, rows_of
from tests.unit.ingest.pinned_records import PINNED_AT, PINNED_BATCH, PINNED_RECORDS, PINNED_ROWS
from tests.unit.ingest.test_enrichment import ENRICHMENT, FULL, NOON, record, records

BATCH_ID = UUID("01931b2e-0000-8000-8000-000000000000")


def rows_from(payloads: list[tuple[int, bytes]]) -> list[dict[str, object]]:
    scans, _ = FULL.enrich(payloads)
    return rows_of(encode_rows(BATCH_ID, NOON, scans))


def row_of(payload: bytes, number: int = 0) -> dict[str, object]:
    (row,) = rows_from([(number, payload)])
    return row


def scan_with(header: bytes, value: bytes) -> bytes:
    return record({header: value})


def test_an_event_id_is_the_batch_id_with_the_record_number_behind():
    assert event_id(BATCH_ID, 258) == BATCH_ID.bytes[:12] + b"\0\0\1\2"


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_event_ids_differ_by_record_number(one, other):
    assert (event_id(BATCH_ID, one) == event_id(BATCH_ID, other)) == (one == other)


def test_the_columns_are_named_as_in_the_block():
    types, _ = NativeDecoder(encode_rows(BATCH_ID, NOON, FULL.enrich([])[0])).block()
    assert list(types) == column_names()


def test_a_row_says_what_the_scan_says():
    row = row_of(record(), number=7)
    assert row["event_id"] == UUID(int=BATCH_ID.int + 7)
    assert row["batch_id"] == BATCH_ID
    assert row["scanned_at"] == row["received_at"] == NOON // 10**6
    assert (row["short_code"], row["outcome"], row["ip"]) == (b"menu", b"redirect", b"203.0.113.77")
    assert (row["device_type"], row["os"], row["browser"]) == (b"mobile", b"iOS", b"Mobile Safari")
    assert (row["is_bot"], row["bot_reason"]) == (False, b"")


@given(st.lists(st.tuples(st.integers(0, 2**32 - 1), records), max_size=5))
def test_any_scans_become_as_many_rows_and_every_text_is_utf8(found):
    rows = rows_from(found)
    assert len(rows) == len(found)
    for (number, scan), row in zip(found, rows, strict=True):
        assert row["event_id"].bytes == event_id(BATCH_ID, number)
        assert row["scanned_at"] == decode_scan(scan).scanned_at_ns // 10**6
        for value in row.values():
            if isinstance(value, bytes):
                value.decode()


@pytest.mark.parametrize(("header", "limit"), [(b"user-agent", MAX_USER_AGENT), (b"referer", MAX_REFERER)])
def test_a_long_text_is_cut(header, limit):
    column = header.decode().replace("-", "_")
    assert row_of(scan_with(header, b"x" * 5000))[column] == b"x" * min(limit, MAX_HEADER_VALUE)


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
    scan = record(dict.fromkeys(HEADERS, b"n0nce"))
    stored = {name for name, value in row_of(scan).items() if isinstance(value, bytes) and b"n0nce" in value}
    assert stored == {"user_agent", "referer"}


@pytest.mark.parametrize("outcome", list(Outcome))
@pytest.mark.parametrize("reason", list(BotReason))
def test_only_a_persons_redirect_is_a_counted_scan(outcome, reason):
    scans, _ = ENRICHMENT.enrich([(0, record(outcome=outcome))])
    scans.bot_reasons = [reason]
    assert count_counted(scans) == (outcome is Outcome.REDIRECT and reason is BotReason.NONE)


def test_a_row_says_by_which_lists_it_was_judged():
    assert row_of(record())["bot_list_version"] == list_version().encode()


@pytest.mark.parametrize("number", range(len(PINNED_RECORDS)))
def test_the_row_of_a_record_never_changes(number):
    scans, _ = ENRICHMENT.enrich([(number, PINNED_RECORDS[number])])
    (row,) = rows_of(encode_rows(PINNED_BATCH, PINNED_AT, scans))
    assert {name: _shown(row[name]) for name in PINNED_ROWS[number]} == PINNED_ROWS[number]


def _shown(value: object) -> object:
    if isinstance(value, bytes):
        return value.decode()
    return str(value) if isinstance(value, UUID) else value

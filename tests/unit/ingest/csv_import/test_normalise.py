"""What a row says, and why it is turned away."""

from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.csv_import.derivation import Derivation
from ingest.csv_import.failure import RowRejected
from ingest.csv_import.identity import batch_id, digest_of, event_id
from ingest.csv_import.normalise import CsvScan, normalise
from ingest.csv_import.scan_times import TimeReader
from scanhop.client_facts.geo import GeoReader

MINIMAL = {"short_code": "menu", "scanned_at": "2026-03-10T09:00:00Z"}
EVENT = "6242d22f-dbeb-8bfd-8d6b-79bbe095f3b5"
BATCH = "a26ab7c3-8c66-835c-86fa-87548a92b7af"
PHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/17.5 Mobile/15E148 Safari/604.1"
)


def scan(**row: str) -> CsvScan:
    return normalise(MINIMAL | row, TimeReader(None, None, datetime(2026, 11, 25, tzinfo=UTC)))


def test_spellings_of_the_same_are_the_same():
    one = scan(ip="::ffff:192.0.2.7", country="at", device_type="Smartphone", is_bot="No", language="de-AT")
    other = scan(ip="192.0.2.7", country="AT", device_type="mobile", is_bot="0", language="DE")
    assert one == other


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("ip", "192.0.2.x"),
        ("country", "Austria"),
        ("device_type", "toaster"),
        ("is_bot", "perhaps"),
        ("qr_id", "12"),
        ("outcome", "gone"),
        ("language", "*"),
    ],
)
def test_a_value_outside_its_list_is_rejected_with_its_column(column, value):
    with pytest.raises(RowRejected, match=f"^{column}: "):
        scan(**{column: value})


def test_a_row_without_a_code_or_a_time_is_rejected():
    times = TimeReader(None, None, datetime(2026, 11, 25, tzinfo=UTC))
    with pytest.raises(RowRejected, match="neither short_code nor qr_id"):
        normalise({"scanned_at": "2026-03-10"}, times)
    with pytest.raises(RowRejected, match="no scanned_at"):
        normalise({"short_code": "a"}, times)


def test_long_texts_are_cut_to_whole_characters():
    found = scan(user_agent="ü" * 600, referer="€" * 1000)
    assert found.user_agent == "ü" * 512
    assert found.referer == "€" * 682


@given(st.dictionaries(st.sampled_from(["ip", "country", "city", "user_agent", "os", "is_bot"]), st.text()))
def test_whatever_a_row_holds_it_is_taken_or_rejected(row):
    try:
        found = scan(**row)
    except RowRejected:
        return
    facts = Derivation(GeoReader(None), "truncated").derive(found)
    assert len(facts.user_agent.encode("utf-8", "surrogatepass")) <= 1024


def test_device_and_bot_follow_from_the_user_agent_where_the_file_is_silent():
    derivation = Derivation(GeoReader(None), "full")
    facts = derivation.derive(scan(user_agent=PHONE, browser="Mine"))
    assert (facts.device_type, facts.os, facts.browser, facts.bot_reason) == ("mobile", "iOS", "Mine", "")
    assert derivation.derive(scan(user_agent="Slackbot 1.0")).bot_reason == "link_preview"
    assert derivation.derive(scan(user_agent="Slackbot 1.0", is_bot="false")).bot_reason == ""
    assert derivation.derive(scan(user_agent=PHONE, is_bot="true")).bot_reason == "crawler"


@pytest.mark.parametrize(("storage", "stored"), [("truncated", "192.0.2.0"), ("full", "192.0.2.7"), ("none", "")])
def test_the_address_is_stored_as_the_setting_says_and_its_scan_stays_the_same(storage, stored):
    found = scan(ip="192.0.2.7")
    assert Derivation(GeoReader(None), storage).derive(found).ip == stored


def test_an_identity_follows_from_source_code_and_fields_and_from_nothing_else():
    code, other = bytes(16), bytes([1]) * 16
    one = digest_of("csv", code, scan(city="Wien"))
    assert one == digest_of("csv", code, scan(city="Wien", short_code="MENU"))
    different = [
        digest_of("bitly", code, scan(city="Wien")),
        digest_of("csv", other, scan(city="Wien")),
        digest_of("csv", code, scan(city="Graz")),
        digest_of("csv", code, scan(region="Wien")),
        digest_of("csv", code, scan(city="Wien", scanned_at="2026-03-10T09:00:00.001Z")),
    ]
    assert len({one, *different}) == 6


def test_event_and_batch_ids_are_what_they_were_in_every_version():
    """Files that were imported by an older version must not come twice."""
    digest = digest_of("csv", bytes(16), scan(city="Wien", ip="192.0.2.7"))
    assert [UUID(bytes=event_id(digest, number)).version for number in (1, 2)] == [8, 8]
    assert event_id(digest, 1) != event_id(digest, 2)
    assert str(UUID(bytes=event_id(digest, 1))) == EVENT
    assert str(batch_id(event_id(digest, 1), 0)) == BATCH
    assert batch_id(event_id(digest, 1), 1) != batch_id(event_id(digest, 1), 0)

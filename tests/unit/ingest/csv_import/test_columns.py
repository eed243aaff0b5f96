"""Which field is which column."""

import pytest

from ingest.csv_import.columns import find_columns
from ingest.csv_import.failure import ImportRefused, RowRejected

OWN = ["short_code", "scanned_at", "ip"]


def test_our_own_names_are_known_in_any_letter_case_and_order():
    columns = find_columns(["Scanned_At", "SHORT_CODE", "extra"], {})
    assert columns.cut(["t", " abc ", "x"]) == {"scanned_at": "t", "short_code": "abc"}
    assert columns.ignored == ["extra"]


def test_the_names_of_scan_logs_are_known():
    columns = find_columns(["qr_id", "scanned_at", "device", "referrer"], {})
    assert columns.cut(["1", "2", "3", "4"]) == {"qr_id": "1", "scanned_at": "2", "device_type": "3", "referer": "4"}


def test_others_are_mapped():
    columns = find_columns(["Link", "When", "referer"], {"short_code": "link", "scanned_at": "When"})
    assert columns.cut(["a", "b", "c"]) == {"short_code": "a", "scanned_at": "b", "referer": "c"}


def test_a_column_of_ours_can_be_left_out():
    assert find_columns(OWN, {"ip": ""}).cut(["a", "b", "garbage"]) == {"short_code": "a", "scanned_at": "b"}


@pytest.mark.parametrize(
    ("header", "mapping", "told"),
    [
        (["scanned_at"], {}, "no column short_code or qr_id"),
        (["short_code"], {}, "no column scanned_at among: short_code"),
        (OWN, {"colour": "ip"}, "there is no column colour"),
        (OWN, {"city": "Town"}, "no column Town"),
        ([*OWN, "IP"], {}, "two columns are named IP"),
        ([], {}, "no column short_code"),
    ],
)
def test_what_is_missing_is_told(header, mapping, told):
    with pytest.raises(ImportRefused, match=told):
        find_columns(header, mapping)


@pytest.mark.parametrize("fields", [["a", "b"], ["a", "b", "c", "d"], ["a"]])
def test_a_ragged_row_is_rejected(fields):
    with pytest.raises(RowRejected, match=f"{len(fields)} fields, the header has 3"):
        find_columns(OWN, {}).cut(fields)


def test_empty_fields_behind_the_last_column_harm_nobody():
    assert find_columns(OWN, {}).cut(["a", "b", "", "", ""]) == {"short_code": "a", "scanned_at": "b"}


def test_a_nul_character_is_rejected_with_its_column():
    with pytest.raises(RowRejected, match="ip: holds a NUL"):
        find_columns(OWN, {}).cut(["a", "b", "\0"])

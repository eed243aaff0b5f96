"""What people type: names, addresses, ids of requests, bodies of PATCH."""

import pytest
from pydantic import ValidationError

from control_api.identity.email_address import parse_email
from control_api.qr_codes.schemas import QrCodeChange, QrCodeWanted
from control_api.web.request_id import request_id_from
from control_api.web.text import parse_line


def test_a_line_is_trimmed():
    assert parse_line("  Menu, table 7 ") == "Menu, table 7"


@pytest.mark.parametrize("text", ["", "   ", "a\x00b", "a\nb", "\ttab", "a\x7f", "a\x85b", "a\ud800", "a" * 201])
def test_lines_that_are_refused(text):
    with pytest.raises(ValueError, match="must"):
        parse_line(text)


def test_letters_of_every_script_are_fine():
    assert parse_line("メニュー 🍜 قائمة") == "メニュー 🍜 قائمة"


@pytest.mark.parametrize("text", ["ada@example.com", "ada+qr@sub.example.org", "a.b@intranet.local", "a@b.test"])
def test_addresses_that_are_taken(text):
    assert parse_email(f" {text} ") == text


@pytest.mark.parametrize(
    "text", ["", "ada", "ada@", "@b.test", "a b@b.test", "a@b .test", "a@b\x00.test", "a@-b", "ü@b"]
)
def test_addresses_that_are_refused(text):
    with pytest.raises(ValueError, match="e-mail"):
        parse_email(text)


def test_a_sane_request_id_is_kept_and_another_replaced():
    assert request_id_from([(b"x-request-id", b"Trace.1_2-3")]) == "Trace.1_2-3"
    for bad in (b"", b"a b", b"a\r\nb", b"\xff", b"a" * 129, b'"'):
        assert len(request_id_from([(b"x-request-id", bad)])) == 32


@pytest.mark.parametrize("body", [{}, {"name": None}, {"status": "deleted"}, {"status": "banned"}, {"id": "x"}])
def test_changes_that_are_refused(body):
    with pytest.raises(ValidationError):
        QrCodeChange.model_validate(body)


def test_a_change_holds_only_what_was_sent():
    change = QrCodeChange.model_validate({"name": " Menu "}).to_model()
    assert change.fields == {"name": "Menu"}
    assert not change.sets_password


@pytest.mark.parametrize(
    "target",
    [
        "",
        "//a.example",
        "javascript:alert(1)",
        " javascript:alert(1)",
        "java\nscript:alert(1)",
        "data:text/html,x",
        "https://u:p@a.example",
        "https://a.example/\x00",
        "https://a.example/\r\nX: y",
        "https://a.example/" + "a" * 3000,
    ],
)
def test_targets_that_are_refused(target):
    with pytest.raises(ValidationError):
        QrCodeWanted.model_validate({"name": "x", "target_url": target})


@pytest.mark.parametrize("code", ["", "-x", "a b", "a/b", "ü", "docs", "V1", "a" * 64, "a\x00"])
def test_short_codes_that_are_refused(code):
    with pytest.raises(ValidationError):
        QrCodeWanted.model_validate({"name": "x", "target_url": "https://a.example", "short_code": code})

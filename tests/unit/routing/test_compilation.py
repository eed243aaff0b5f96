from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanhop.routing.compilation import UncompilableRoute, compile_route
from scanhop.routing.decision import decide
from scanhop.wire.route import Route, Status, decode_route, encode_route
from scanhop.wire.scan_record import Outcome
from tests.routes import new_id

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NS_OF_2026 = 1_767_225_600_000_000_000
moments = st.integers(-9 * 10**15, 9 * 10**15).map(lambda microseconds: EPOCH + timedelta(microseconds=microseconds))


def row(**fields: object) -> dict[str, object]:
    """A row of the view as Postgres gives it; `fields` replace what it says."""
    usual = {
        "domain_id": new_id(),
        "short_code": "menu",
        "workspace_id": new_id(),
        "qr_id": new_id(),
        "user_id": new_id(),
        "project_id": new_id(),
        "version": 3,
        "status": "active",
        "ban_reason": None,
        "target_url": "https://example.com/",
        "fallback_url": None,
        "redirect_status": 302,
        "starts_at": None,
        "expires_at": None,
    }
    return usual | fields


def test_a_route_says_what_the_row_says():
    found = row(fallback_url="https://example.org/", redirect_status=307)
    assert compile_route(found) == Route(
        domain_id=found["domain_id"].bytes,
        code="menu",
        workspace_id=found["workspace_id"].bytes,
        qr_id=found["qr_id"].bytes,
        user_id=found["user_id"].bytes,
        project_id=found["project_id"].bytes,
        version=3,
        status=Status.ACTIVE,
        target_url="https://example.com/",
        fallback_url="https://example.org/",
        redirect_status=307,
    )


@pytest.mark.parametrize("status", list(Status))
def test_each_status_of_the_table_is_one_of_the_route(status):
    assert compile_route(row(status=status.name.lower())).status is status


def test_a_status_that_is_not_known_is_refused():
    with pytest.raises(UncompilableRoute, match="menu"):
        compile_route(row(status="frozen"))


@pytest.mark.parametrize("column", ["user_id", "project_id"])
def test_an_id_that_is_absent_is_zero(column):
    assert getattr(compile_route(row(**{column: None})), column) == bytes(16)


@pytest.mark.parametrize(("reason", "legal"), [(None, False), ("abuse", False), ("legal", True)])
def test_only_a_ban_by_law_is_legal(reason, legal):
    assert compile_route(row(status="banned", ban_reason=reason)).banned_for_legal_reason is legal


@pytest.mark.parametrize("column", ["target_url", "fallback_url"])
@pytest.mark.parametrize(
    "text", ["https://a/\r\nSet-Cookie: a=b", "https://a/\n", "https://a/ b", "https://\u00e4/", "\0", "\x7f"]
)
def test_text_that_could_break_out_of_a_header_is_refused(column, text):
    with pytest.raises(UncompilableRoute, match=f"menu.*{column}"):
        compile_route(row(**{column: text}))


@pytest.mark.parametrize("status", ["active", "archived"])
@pytest.mark.parametrize("text", [None, ""])
def test_a_code_that_redirects_must_have_a_target(status, text):
    with pytest.raises(UncompilableRoute, match="target_url"):
        compile_route(row(status=status, target_url=text))


@pytest.mark.parametrize("status", ["paused", "deleted", "banned"])
def test_a_code_that_does_not_redirect_needs_no_target(status):
    assert compile_route(row(status=status, target_url=None)).target_url == ""


@given(moments, moments)
def test_times_are_kept_to_the_microsecond(opens, closes):
    route = compile_route(row(starts_at=opens, expires_at=closes))
    assert EPOCH + timedelta(microseconds=route.opens_at_ns // 1000) == opens
    assert EPOCH + timedelta(microseconds=route.closes_at_ns // 1000) == closes
    assert route.opens_at_ns % 1000 == route.closes_at_ns % 1000 == 0


def test_a_time_in_another_zone_is_the_same_moment():
    vienna = timezone(timedelta(hours=2))
    at = datetime(2026, 1, 1, 2, tzinfo=vienna)
    assert compile_route(row(starts_at=at)).opens_at_ns == NS_OF_2026


@pytest.mark.parametrize("column", ["starts_at", "expires_at"])
@pytest.mark.parametrize("at", [datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)])
def test_a_time_beyond_all_clocks_can_still_be_written(column, at):
    route = compile_route(row(**{column: at}))
    assert decode_route(encode_route(route)) == route


def test_a_code_that_expires_in_the_year_9999_redirects():
    route = compile_route(
        row(starts_at=datetime.min.replace(tzinfo=UTC), expires_at=datetime.max.replace(tzinfo=UTC))
    )
    assert decide(route, NS_OF_2026).outcome is Outcome.REDIRECT


def test_a_code_that_expired_in_the_year_1_is_expired():
    route = compile_route(row(expires_at=datetime.min.replace(tzinfo=UTC)))
    assert decide(route, NS_OF_2026).outcome is Outcome.EXPIRED

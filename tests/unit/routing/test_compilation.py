from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanhop.routing.compilation import UncompilableRoute, compile_route
from scanhop.routing.decision import decide
from scanhop.routing.facts import GivenFacts
from scanhop.wire.route import Condition, Kind, Route, Rule, Status, Variant, decode_route, encode_route
from scanhop.wire.scan_record import Outcome
from tests.unit.routing.rows import row

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NS_OF_2026 = 1_767_225_600_000_000_000
moments = st.integers(-9 * 10**15, 9 * 10**15).map(lambda microseconds: EPOCH + timedelta(microseconds=microseconds))


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
    assert decide(route, GivenFacts(NS_OF_2026)).outcome is Outcome.REDIRECT


def test_a_code_that_expired_in_the_year_1_is_expired():
    route = compile_route(row(expires_at=datetime.min.replace(tzinfo=UTC)))
    assert decide(route, GivenFacts(NS_OF_2026)).outcome is Outcome.EXPIRED


RULES = [
    {
        "id": "lunch",
        "when": [{"field": "country", "op": "not_in", "value": ["AT", "DE"]}],
        "variants": [
            {"name": "a", "weight": 1, "target_url": "https://example.com/a"},
            {"name": "b", "weight": 2, "target_url": "https://example.com/b"},
        ],
    }
]


def test_a_route_has_the_rules_of_the_row():
    assert compile_route(row(rules=RULES)).rules == (
        Rule(
            id="lunch",
            when=(Condition(Kind.COUNTRY, is_negated=True, texts=frozenset(["at", "de"])),),
            variants=(Variant("a", 1, "https://example.com/a"), Variant("b", 2, "https://example.com/b")),
        ),
    )


def test_a_route_has_the_limit_and_the_password_of_the_row():
    route = compile_route(row(max_scans=7, password_hash="$argon2id$"))
    assert (route.max_scans, route.password_hash) == (7, "$argon2id$")


@pytest.mark.parametrize(
    ("column", "is_forwarding", "pinned"),
    [(False, False, ()), (True, True, ()), ({"pinned": ["a", "b"]}, True, ("a", "b"))],
)
def test_a_route_forwards_the_query_as_the_row_says(column, is_forwarding, pinned):
    route = compile_route(row(forward_query=column))
    assert (route.forward_query, route.pinned_query) == (is_forwarding, pinned)


@pytest.mark.parametrize(
    ("columns", "what"),
    [
        ({"rules": "no list"}, "rules must be a list"),
        ({"rules": [{"when": [], "target_url": "https://example.com/"}]}, r"rules\.0\.when"),
        ({"rules": [RULES[0] | {"id": "a b"}]}, r"rules\.0\.id"),
        ({"rules": [{"when": RULES[0]["when"], "target_url": "javascript:alert(1)"}]}, r"rules\.0\.target_url"),
        ({"forward_query": {"pinned": "a"}}, "forward_query"),
        ({"forward_query": None}, "forward_query"),
    ],
)
def test_rules_and_forwarding_that_the_api_would_refuse_are_refused_here_too(columns, what):
    with pytest.raises(UncompilableRoute, match=f"menu.*{what}"):
        compile_route(row(**columns))

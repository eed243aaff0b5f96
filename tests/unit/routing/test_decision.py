import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from scanhop.routing.decision import Decision, decide, is_plain, must_await
from scanhop.routing.facts import GivenFacts
from scanhop.wire.route import Condition, Kind, Rule, Status
from scanhop.wire.scan_record import Outcome
from tests.routes import new_route

TARGET = "https://example.com/target"
FALLBACK = "https://example.com/fallback"
NOW = 1_800_000_000_000_000_000
AT_NOW = GivenFacts(NOW)

BEFORE = {"opens_at_ns": NOW + 1}
WITHIN = {"opens_at_ns": NOW, "closes_at_ns": NOW + 1}
AFTER = {"closes_at_ns": NOW}
ALWAYS: dict[str, int] = {}

TO_TARGET = Decision(Outcome.REDIRECT, 302, TARGET)
DELETED = Decision(Outcome.DELETED, 410)
BANNED = Decision(Outcome.BANNED, 403)


def closed(outcome: Outcome, page_status: int, fallback: str | None) -> Decision:
    return Decision(outcome, page_status) if fallback is None else Decision(outcome, 302, fallback)


def golden(fallback: str | None) -> list[tuple[Status, dict[str, int], Decision]]:
    """What each state answers in each part of its time window."""
    paused = closed(Outcome.PAUSED, 410, fallback)
    not_yet = structs.replace(closed(Outcome.NOT_YET, 404, fallback), opens_at_ns=NOW + 1)
    expired = closed(Outcome.EXPIRED, 410, fallback)
    return [
        (Status.ACTIVE, ALWAYS, TO_TARGET),
        (Status.ACTIVE, BEFORE, not_yet),
        (Status.ACTIVE, WITHIN, TO_TARGET),
        (Status.ACTIVE, AFTER, expired),
        (Status.ARCHIVED, ALWAYS, TO_TARGET),
        (Status.ARCHIVED, BEFORE, not_yet),
        (Status.ARCHIVED, WITHIN, TO_TARGET),
        (Status.ARCHIVED, AFTER, expired),
        *((Status.PAUSED, window, paused) for window in (ALWAYS, BEFORE, WITHIN, AFTER)),
        *((Status.DELETED, window, DELETED) for window in (ALWAYS, BEFORE, WITHIN, AFTER)),
        *((Status.BANNED, window, BANNED) for window in (ALWAYS, BEFORE, WITHIN, AFTER)),
    ]


@pytest.mark.parametrize(
    ("status", "window", "fallback", "expected"),
    [
        (status, window, fallback, answer)
        for fallback in (None, FALLBACK)
        for status, window, answer in golden(fallback)
    ],
)
def test_each_state_has_its_answer(status, window, fallback, expected):
    route = new_route(status=status, target_url=TARGET, fallback_url=fallback, **window)
    assert decide(route, AT_NOW) == expected


def test_no_route_is_an_unknown_code():
    assert decide(None, AT_NOW) == Decision(Outcome.UNKNOWN, 404)


def test_a_ban_by_law_says_so():
    route = new_route(status=Status.BANNED, banned_for_legal_reason=True, fallback_url=FALLBACK)
    assert decide(route, AT_NOW) == Decision(Outcome.BANNED, 451)


def test_an_empty_fallback_is_none():
    assert decide(new_route(status=Status.PAUSED, fallback_url=""), AT_NOW) == Decision(Outcome.PAUSED, 410)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_code_redirects_with_its_own_status(status):
    assert decide(new_route(redirect_status=status), AT_NOW).http_status == status


@pytest.mark.parametrize("status", [301, 307, 308])
@pytest.mark.parametrize("window", [BEFORE, AFTER])
def test_a_fallback_is_never_permanent(status, window):
    route = new_route(redirect_status=status, fallback_url=FALLBACK, **window)
    assert decide(route, AT_NOW).http_status == 302


@pytest.mark.parametrize(
    ("now_ns", "outcome"),
    [
        (NOW - 1, Outcome.NOT_YET),
        (NOW, Outcome.REDIRECT),
        (NOW + 9, Outcome.REDIRECT),
        (NOW + 10, Outcome.EXPIRED),
    ],
)
def test_a_window_opens_and_closes_to_the_nanosecond(now_ns, outcome):
    route = new_route(opens_at_ns=NOW, closes_at_ns=NOW + 10)
    assert decide(route, GivenFacts(now_ns)).outcome is outcome


def test_a_window_that_closes_before_it_opens_is_not_yet_open_and_then_expired():
    route = new_route(opens_at_ns=NOW + 10, closes_at_ns=NOW)
    assert decide(route, GivenFacts(NOW + 5)).outcome is Outcome.NOT_YET
    assert decide(route, GivenFacts(NOW + 10)).outcome is Outcome.EXPIRED


times = st.none() | st.integers(NOW - 3, NOW + 3)


@given(
    status=st.sampled_from(Status),
    opens=times,
    closes=times,
    fallback=st.sampled_from([None, FALLBACK]),
    legal=st.booleans(),
)
def test_a_phone_is_sent_to_the_target_only_by_an_open_code_and_elsewhere_only_to_its_fallback(
    status, opens, closes, fallback, legal
):
    route = new_route(
        status=status,
        opens_at_ns=opens,
        closes_at_ns=closes,
        fallback_url=fallback,
        target_url=TARGET,
        banned_for_legal_reason=legal,
    )
    decision = decide(route, AT_NOW)
    is_open = (opens is None or opens <= NOW) and (closes is None or closes > NOW)
    assert (decision.location == TARGET) == (is_open and status in (Status.ACTIVE, Status.ARCHIVED))
    assert (decision.outcome is Outcome.REDIRECT) == (decision.location == TARGET)
    assert decision.location in (TARGET, fallback, None)
    assert (decision.location is None) == (decision.http_status >= 400)
    if status in (Status.DELETED, Status.BANNED):
        assert decision.location is None


def on(kind: Kind) -> tuple[Rule, ...]:
    return (Rule("r1", (Condition(kind),), TARGET),)


@pytest.mark.parametrize("status", [Status.ACTIVE, Status.ARCHIVED])
@pytest.mark.parametrize(
    "fields",
    [
        {"opens_at_ns": 0},
        {"closes_at_ns": NOW},
        {"rules": on(Kind.DEVICE)},
        {"forward_query": True},
        {"max_scans": 9},
        {"password_hash": "hash"},
    ],
)
def test_a_code_whose_decision_depends_on_the_scan_is_not_plain(status, fields):
    assert not is_plain(new_route(status=status, **fields))


@pytest.mark.parametrize("status", list(Status))
def test_a_code_without_all_that_is_plain(status):
    assert is_plain(new_route(status=status, fallback_url=FALLBACK, redirect_status=308))


@pytest.mark.parametrize("status", [Status.DELETED, Status.BANNED, Status.PAUSED])
def test_a_code_that_is_out_of_use_is_plain_and_waits_for_nothing(status):
    route = new_route(status=status, max_scans=1, password_hash="hash", rules=on(Kind.SCANS), **WITHIN)
    assert is_plain(route)
    assert not must_await(route)


@pytest.mark.parametrize("fields", [{"max_scans": 1}, {"password_hash": "hash"}, {"rules": on(Kind.SCANS)}])
def test_a_count_or_a_password_must_be_waited_for(fields):
    assert must_await(new_route(**fields))


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind is not Kind.SCANS])
def test_no_other_condition_must_be_waited_for(kind):
    assert not must_await(new_route(rules=on(kind), forward_query=True, **WITHIN))


def test_a_kind_of_condition_that_is_not_known_is_never_met():
    for is_negated in (False, True):
        rules = (Rule("r1", (Condition(200, is_negated),), FALLBACK),)
        assert decide(new_route(target_url=TARGET, rules=rules), AT_NOW) == TO_TARGET


class OnlyTheClock:
    """Facts of which no other can be had."""

    now_ns = NOW


def test_facts_that_no_condition_asks_for_are_not_read():
    assert decide(new_route(target_url=TARGET, **WITHIN), OnlyTheClock()) == TO_TARGET

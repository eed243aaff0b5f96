"""decide(route, facts): what a scan of a code is answered.

The order is fixed: unknown, deleted, banned, paused, not yet, expired, limit, password, rules, target. The owner's
fallback address answers for a code that is paused, not yet open, expired or at its limit; without one it is a page.
The first rule that is met in full says where to go, else the code's own target. A number of scans that is not known
is below every limit.
"""

import msgspec

from scanhop.routing.conditions import matches_all
from scanhop.routing.facts import Facts
from scanhop.routing.forwarding import forward_query
from scanhop.routing.variants import choose_variant
from scanhop.wire.route import Kind, Route, Rule, Status
from scanhop.wire.scan_record import Outcome


class Decision(msgspec.Struct, frozen=True, gc=False):
    """`location` is where to send the phone; without it the answer is a page with that status.

    `rule_id` and `variant` name what was met, empty where nothing was; `opens_at_ns` says when to come again.
    """

    outcome: Outcome
    http_status: int
    location: str | None = None
    rule_id: str = ""
    variant: str = ""
    opens_at_ns: int | None = None


UNKNOWN = Decision(Outcome.UNKNOWN, 404)
DELETED = Decision(Outcome.DELETED, 410)
BANNED = Decision(Outcome.BANNED, 403)
BANNED_BY_LAW = Decision(Outcome.BANNED, 451)
LOCKED = Decision(Outcome.LOCKED, 200)

_FALLBACK_STATUS = 302
_REDIRECTING = (Status.ACTIVE, Status.ARCHIVED)


def decide(route: Route | None, facts: Facts) -> Decision:
    if route is None:
        return UNKNOWN
    if route.status not in _REDIRECTING:
        return _refuse(route)
    if route.opens_at_ns is not None and facts.now_ns < route.opens_at_ns:
        return _closed(route, Outcome.NOT_YET, 404, route.opens_at_ns)
    if route.closes_at_ns is not None and facts.now_ns >= route.closes_at_ns:
        return _closed(route, Outcome.EXPIRED, 410)
    if route.max_scans is not None and _is_at_limit(route.max_scans, facts):
        return _closed(route, Outcome.LIMIT, 410)
    if route.password_hash is not None and not facts.is_unlocked:
        return LOCKED
    for rule in route.rules:
        if matches_all(rule.when, facts):
            return _follow(route, rule, facts)
    return _redirect(route, facts, route.target_url)


def is_plain(route: Route) -> bool:
    """Whether the decision is the same whoever scans, and whenever."""
    return route.status not in _REDIRECTING or not (
        route.rules
        or route.forward_query
        or route.opens_at_ns is not None
        or route.closes_at_ns is not None
        or route.max_scans is not None
        or route.password_hash is not None
    )


def must_await(route: Route) -> bool:
    """Whether the decision needs what takes time to learn: the number of scans, or whether a password is right."""
    return route.status in _REDIRECTING and (
        route.max_scans is not None
        or route.password_hash is not None
        or any(condition.kind == Kind.SCANS for rule in route.rules for condition in rule.when)
    )


def is_counted(route: Route) -> bool:
    """Whether the decision depends on how often the code was scanned."""
    return route.max_scans is not None or any(
        condition.kind == Kind.SCANS for rule in route.rules for condition in rule.when
    )


def _refuse(route: Route) -> Decision:
    if route.status is Status.DELETED:
        return DELETED
    if route.status is Status.BANNED:
        return BANNED_BY_LAW if route.banned_for_legal_reason else BANNED
    return _closed(route, Outcome.PAUSED, 410)


def _closed(route: Route, outcome: Outcome, page_status: int, opens_at_ns: int | None = None) -> Decision:
    if route.fallback_url:
        return Decision(outcome, _FALLBACK_STATUS, route.fallback_url, opens_at_ns=opens_at_ns)
    return Decision(outcome, page_status, opens_at_ns=opens_at_ns)


def _is_at_limit(max_scans: int, facts: Facts) -> bool:
    scans = facts.scans
    return scans is not None and scans >= max_scans


def _follow(route: Route, rule: Rule, facts: Facts) -> Decision:
    if not rule.variants:
        return _redirect(route, facts, rule.target_url, rule.id)
    variant = choose_variant(rule.variants, facts.ab_secret, route.code, facts.address, facts.user_agent)
    return _redirect(route, facts, variant.target_url, rule.id, variant.name)


def _redirect(route: Route, facts: Facts, target: str, rule_id: str = "", variant: str = "") -> Decision:
    location = forward_query(target, facts.query, route.pinned_query) if route.forward_query else target
    return Decision(Outcome.REDIRECT, route.redirect_status, location, rule_id, variant)

"""decide(route, now): what a scan of a code is answered.

The order of states is fixed: unknown, deleted, banned, paused, not yet, expired, target. The owner's fallback
address answers for a paused, not yet open or expired code; without one it is a page.
"""

import msgspec

from scanhop.wire.route import Route, Status
from scanhop.wire.scan_record import Outcome


class Decision(msgspec.Struct, frozen=True, gc=False):
    """`location` is where to send the phone; without it the answer is a page with that status."""

    outcome: Outcome
    http_status: int
    location: str | None = None


UNKNOWN = Decision(Outcome.UNKNOWN, 404)
DELETED = Decision(Outcome.DELETED, 410)
BANNED = Decision(Outcome.BANNED, 403)
BANNED_BY_LAW = Decision(Outcome.BANNED, 451)

_FALLBACK_STATUS = 302


def decide(route: Route | None, now_ns: int) -> Decision:
    """`now_ns` is Unix time in nanoseconds."""
    if route is None:
        return UNKNOWN
    if route.status is Status.DELETED:
        return DELETED
    if route.status is Status.BANNED:
        return BANNED_BY_LAW if route.banned_for_legal_reason else BANNED
    if route.status is Status.PAUSED:
        return _closed(route, Outcome.PAUSED, 410)
    if route.opens_at_ns is not None and now_ns < route.opens_at_ns:
        return _closed(route, Outcome.NOT_YET, 404)
    if route.closes_at_ns is not None and now_ns >= route.closes_at_ns:
        return _closed(route, Outcome.EXPIRED, 410)
    return Decision(Outcome.REDIRECT, route.redirect_status, route.target_url)


def _closed(route: Route, outcome: Outcome, page_status: int) -> Decision:
    if route.fallback_url:
        return Decision(outcome, _FALLBACK_STATUS, route.fallback_url)
    return Decision(outcome, page_status)

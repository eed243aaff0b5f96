"""From a decision to the HTTP answer."""

from starlette.responses import Response

from edge.pages import CONTENT_SECURITY_POLICY, PAGES, UNAVAILABLE_PAGE
from scanhop.routing.decision import Decision

RETRY_AFTER_S = 5

_PERMANENT = (301, 308)
_COMMON = {"X-Robots-Tag": "noindex"}
_PAGE_HEADERS = _COMMON | {
    "Cache-Control": "private, no-store",
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


def build_answer(decision: Decision) -> Response:
    if decision.location is None:
        return Response(PAGES[decision.outcome], decision.http_status, _PAGE_HEADERS, "text/html")
    response = Response(status_code=decision.http_status, headers=_COMMON)
    # As it is: a target was serialised and checked when it was written, and again when its route was compiled.
    response.headers["Location"] = decision.location
    response.headers["Cache-Control"] = _cache_control(decision.http_status)
    return response


def build_unavailable() -> Response:
    return Response(UNAVAILABLE_PAGE, 503, _PAGE_HEADERS | {"Retry-After": str(RETRY_AFTER_S)}, "text/html")


def _cache_control(status: int) -> str:
    """A permanent redirect may be kept for half a minute, so that an edit still takes effect."""
    return "private, max-age=30" if status in _PERMANENT else "private, no-store"

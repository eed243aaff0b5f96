"""From a decision to the HTTP answer, as bytes: the one source of what both ways of answering send."""

from functools import lru_cache

import msgspec
from starlette.responses import Response

from edge.pages import Pages
from scanhop.routing.decision import Decision
from scanhop.wire.scan_record import Outcome

RETRY_AFTER_S = 5

_PERMANENT = (301, 308)
_REASONS = {
    200: "OK",
    301: "Moved Permanently",
    302: "Found",
    303: "See Other",
    307: "Temporary Redirect",
    308: "Permanent Redirect",
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    410: "Gone",
    411: "Length Required",
    413: "Content Too Large",
    414: "URI Too Long",
    429: "Too Many Requests",
    431: "Request Header Fields Too Large",
    451: "Unavailable For Legal Reasons",
    503: "Service Unavailable",
}
_REFUSALS = {
    400: "This is no request that can be answered.",
    408: "The request did not come in time.",
    411: "The request does not say how long its body is.",
    413: "The body of the request is too long.",
    414: "The address is too long.",
    431: "The head of the request is too long.",
    503: "Too many connections.",
}


class Answer(msgspec.Struct, gc=False):
    """`head`: the status line and the headers up to the last one's value; then `value`, the date, and `body`.

    Many phones share one: it is never changed.
    """

    status: int
    outcome: Outcome
    head: bytes
    value: bytes = b""
    body: bytes = b""

    def encode(self, tail: bytes, *, is_head: bool = False) -> bytes:
        """`tail`: the rest of the head, from the CRLF behind the last header's value to the empty line."""
        return b"".join((self.head, self.value, tail, b"" if is_head else self.body))

    def to_response(self) -> Response:
        response = Response(self.body, self.status)
        response.raw_headers = [
            (name.lower(), value)
            for name, _, value in (line.partition(b": ") for line in (self.head + self.value).split(b"\r\n")[1:])
        ]
        return response


class Answers:
    """Builds answers with the pages of one brand."""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages
        self._not_found = self._page(Decision(Outcome.UNKNOWN, 404))
        self._short_not_found = _plain(404, pages.short_unknown())

    def of(self, decision: Decision, *, after_post: bool = False) -> Answer:
        """`after_post`: a form was sent; whatever comes next is a GET."""
        if decision.location is None:
            return self._page(decision)
        # As it is: a target was serialised and checked when it was written, and again when its route was compiled.
        status, head = _redirect(303 if after_post else decision.http_status)
        return Answer(status, decision.outcome, head, decision.location.encode("ascii"))

    def locked(self, problem: str | None, status: int = 200) -> Answer:
        """The form that asks for the password; `problem` says what was wrong with the last try."""
        body = self._pages.locked(problem)
        return Answer(
            status, Outcome.LOCKED, _page_head(status, len(body), self._pages.locked_security_policy), b"", body
        )

    def not_found(self, url: str | None) -> Answer:
        """An unknown code, or a path that is none: the domain's own page where it names one."""
        if url is None:
            return self._not_found
        status, head = _redirect(302)
        return Answer(status, Outcome.UNKNOWN, head, url.encode("ascii"))

    def short_not_found(self) -> Answer:
        return self._short_not_found

    def unavailable(self) -> Answer:
        return _with_header(
            self._html(503, Outcome.UNKNOWN, self._pages.unavailable()), "Retry-After", str(RETRY_AFTER_S)
        )

    def _page(self, decision: Decision) -> Answer:
        if decision.outcome is Outcome.LOCKED:
            return self.locked(None)
        if decision.outcome is Outcome.BANNED:
            body = self._pages.banned(is_legal=decision.http_status == 451)
        else:
            body = self._pages.of(decision.outcome, opens_at_ns=decision.opens_at_ns)
        return self._html(decision.http_status, decision.outcome, body)

    def _html(self, status: int, outcome: Outcome, body: bytes) -> Answer:
        head = _page_head(status, len(body), self._pages.content_security_policy)
        return Answer(status, outcome, head, b"", body)


def method_not_allowed(allow: str) -> Answer:
    return _with_header(_plain(405, b"Method Not Allowed\n"), "Allow", allow)


@lru_cache(16)
def refusal(status: int) -> Answer:
    """To a request that is malformed, too large or too slow; the connection is closed after it."""
    if status == 405:
        return method_not_allowed("GET, HEAD")
    return _plain(status, _REFUSALS[status].encode() + b"\n")


@lru_cache(8)
def _redirect(status: int) -> tuple[int, bytes]:
    """The status, as one object for all, and the head. A permanent redirect may be kept for half a minute, so that an
    edit still takes effect."""
    cache = "private, max-age=30" if status in _PERMANENT else "private, no-store"
    return status, _head(
        status, f"Cache-Control: {cache}", "X-Robots-Tag: noindex", "Content-Length: 0", "Location: "
    )


@lru_cache(64)
def _page_head(status: int, length: int, policy: str) -> bytes:
    return _head(
        status,
        "Content-Type: text/html; charset=utf-8",
        f"Content-Length: {length}",
        "Cache-Control: private, no-store",
        "X-Robots-Tag: noindex",
        f"Content-Security-Policy: {policy}",
        "X-Content-Type-Options: nosniff",
        "Referrer-Policy: no-referrer",
    )


def _plain(status: int, body: bytes) -> Answer:
    head = _head(
        status,
        "Content-Type: text/plain; charset=utf-8",
        f"Content-Length: {len(body)}",
        "Cache-Control: private, no-store",
        "X-Robots-Tag: noindex",
    )
    return Answer(status, Outcome.UNKNOWN, head, b"", body)


def _with_header(answer: Answer, name: str, value: str) -> Answer:
    return msgspec.structs.replace(answer, head=answer.head + f"\r\n{name}: {value}".encode())


def _head(status: int, *headers: str) -> bytes:
    return "\r\n".join((f"HTTP/1.1 {status} {_REASONS[status]}", *headers)).encode("ascii")

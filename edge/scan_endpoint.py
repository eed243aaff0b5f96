"""The Starlette endpoint of scans: what must wait for a look-up, a scan count or a password.

It answers every scan, also those that the protocol class would have answered at once, in the same words.
"""

from urllib.parse import parse_qs

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from edge.answers import Answer, method_not_allowed
from edge.domains import Domains, ScannedCode
from edge.http_head import BadHead, host_name
from edge.local_cache import CachedRoute
from edge.recorder import Recorder, packed_address
from edge.redirect import Redirector, Scan
from edge.resolver import Resolver, Unresolvable
from scanhop.wire.scan_record import encode_headers

FORM_FIELD = "password"
_FORM_TYPE = "application/x-www-form-urlencoded"


class ScanEndpoint:
    """`GET|HEAD|POST /r/{code}`, and whatever other path there is none for."""

    def __init__(self, domains: Domains, resolver: Resolver, redirector: Redirector, recorder: Recorder) -> None:
        self._domains = domains
        self._resolver = resolver
        self._redirector = redirector
        self._recorder = recorder

    async def handle(self, request: Request) -> Response:
        scanned = self._domains.find_scanned(_host(request), request.scope["raw_path"])
        answer = await (self._answer_other(request) if scanned is None else self._answer_scan(request, scanned))
        self._recorder.flush()
        return answer.to_response()

    async def _answer_other(self, request: Request) -> Answer:
        """Not the path of a scan."""
        if request.method not in ("GET", "HEAD"):
            return method_not_allowed("GET, HEAD")
        return self._redirector.answer_no_path(self._domains.find(_host(request)))

    async def _answer_scan(self, request: Request, scanned: ScannedCode) -> Answer:
        if request.method not in ("GET", "HEAD", "POST"):
            return method_not_allowed("GET, HEAD")
        scan = Scan(
            packed_address(request.client.host) if request.client else b"",
            encode_headers(request.scope["headers"]),
            request.scope["query_string"],
            request.method == "HEAD",
        )
        if scanned.key is None:
            if request.method == "POST":
                return method_not_allowed("GET, HEAD")
            return self._redirector.answer_impossible(scanned, scan)
        try:
            found = await self._resolver.resolve(scanned.key, lambda: self._redirector.may_ask_postgres(scan))
        except Unresolvable:
            return self._redirector.answer_unavailable(scan)
        if request.method == "POST":
            return await self._answer_form(request, found, scan)
        return self._redirector.answer_now(found, scan) or await self._redirector.answer_waiting(found, scan)

    async def _answer_form(self, request: Request, found: CachedRoute, scan: Scan) -> Answer:
        """Only a code with a password takes a form."""
        if found.route is None or found.route.password_hash is None:
            return method_not_allowed("GET, HEAD")
        return await self._redirector.answer_waiting(found, scan, await _password(request))


async def _password(request: Request) -> bytes:
    """What the form sent; empty when it is no such form."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM_TYPE:
        return b""
    try:
        body = await request.body()
        fields = parse_qs(body.decode("ascii"), keep_blank_values=True, max_num_fields=10)
    except (ValueError, ClientDisconnect):
        return b""
    return fields.get(FORM_FIELD, [""])[0].encode("utf-8", "replace")


def _host(request: Request) -> bytes | None:
    try:
        return host_name(request.headers.get("host", "").encode("latin-1"))
    except BadHead:
        return None

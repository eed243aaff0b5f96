"""`GET|HEAD /r/{code}`: resolve, decide, record, answer."""

from starlette.requests import Request
from starlette.responses import Response

from edge.answers import build_answer, build_unavailable
from edge.local_cache import CachedRoute
from edge.recorder import Recorder
from edge.resolver import Resolver, Unresolvable
from scanhop.routing.decision import decide
from scanhop.spool import SpoolWriter
from scanhop.wire.ids import DEFAULT_DOMAIN_ID
from scanhop.wire.scan_record import Outcome, encode_unknown_prefix
from scanhop.wire.short_codes import find_code, fold_code

MAX_SCANNED_CODE = 63


class Redirector:
    """The handler of scans."""

    def __init__(self, resolver: Resolver, recorder: Recorder, spool: SpoolWriter) -> None:
        self._resolver = resolver
        self._recorder = recorder
        self._spool = spool
        self.unresolvable = 0

    async def handle(self, request: Request) -> Response:
        try:
            found = await self._find(request.path_params["code"])
        except Unresolvable:
            self.unresolvable += 1
            return build_unavailable()
        decision = decide(found.route, self._spool.now_ns())
        outcome = Outcome.HEAD if request.method == "HEAD" else decision.outcome
        peer = request.client.host if request.client else ""
        self._recorder.record(found, outcome, peer, request.scope["headers"])
        return build_answer(decision)

    async def _find(self, text: str) -> CachedRoute:
        """What could not be a code is unknown without a look-up. Raises Unresolvable."""
        domain_id = DEFAULT_DOMAIN_ID.bytes
        code = find_code(text)
        if code is None:
            scanned = fold_code(text)[:MAX_SCANNED_CODE]
            return CachedRoute(None, encode_unknown_prefix(domain_id, scanned), 0)
        return await self._resolver.resolve(domain_id, code)

"""The protocol of the API's connections: uvicorn's, with bounds on what a client may hold.

Invariants:
- A head has at most MAX_HEAD bytes, MAX_FIELDS fields and a target of MAX_TARGET bytes, and is whole HEAD_S after it
  began. Bodies are web.body_limit's; what is left of one that was answered unread is dropped for HEAD_S.
- Behind a request that is under way at most PIPELINE wait; an answer that is not taken for WRITE_S is given up.
- Of more connections than `max_connections` each is told so at once.
- Whoever goes beyond a bound, or speaks no HTTP, is told by a problem, behind the answers that are under way, and
  nothing more is read. Deadlines are looked at every SWEEP_S.
- An offer to speak another protocol is ignored (RFC 9110, section 7.8).
"""

import asyncio
import secrets
from typing import Any, cast

import httptools
from starlette.types import Scope
from uvicorn._types import ASGI3Application, HTTPScope
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from control_api.web.problem import MAX_NAME, RETRY_AFTER_S, Problem, problem_response
from control_api.web.problem_catalogue import ProblemKind
from control_api.web.request_id import HEADER
from scanhop.telemetry.logs import get_logger

MAX_HEAD = 32 << 10
MAX_TARGET = 8 << 10
MAX_FIELDS = 100
PIPELINE = 64
MAX_CONNECTIONS = 2_000
HEAD_S = 15.0
WRITE_S = 60.0
LINGER_S = 1.0
SWEEP_S = 1.0


class _Refused(Exception):
    pass


class ApiConnection(HttpToolsProtocol):
    """A request is read as head and body; between two of them neither is begun."""

    url = b""
    _is_in_head = False
    _is_in_body = False
    _is_refused = False
    _is_over = False

    def __init__(self, *args: Any, max_connections: int = MAX_CONNECTIONS, **more: Any) -> None:
        super().__init__(*args, **more)
        self._max_connections = max_connections

    # --- what the transport calls ---

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expire_in(HEAD_S)
        self._sweeping = self.loop.call_later(SWEEP_S, self._sweep)
        if len(self.connections) > self._max_connections:
            self._refuse(ProblemKind.TOO_MANY_CONNECTIONS, {"Retry-After": str(RETRY_AFTER_S)})

    def connection_lost(self, exc: Exception | None) -> None:
        self._sweeping.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._is_refused:
            return
        was_in_head = self._is_in_head
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            self._refuse(ProblemKind.BAD_REQUEST)
        except httptools.HttpParserUpgrade as upgrade:
            self._ignore_upgrade(data[upgrade.args[0] :])
        if was_in_head and self._is_in_head:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD:
                self._refuse(ProblemKind.HEAD_TOO_LARGE)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._expire_in(WRITE_S)

    # --- what the parser calls ---

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._is_in_head, self._head_bytes = True, 0
        self._expire_in(HEAD_S)

    def on_header(self, name: bytes, value: bytes) -> None:
        if len(self.headers) == MAX_FIELDS:
            self._stop_parser(ProblemKind.HEAD_TOO_LARGE)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if len(self.url) > MAX_TARGET:
            self._stop_parser(ProblemKind.TARGET_TOO_LONG)
        if sum(len(name) + len(value) for name, value in self.headers) > MAX_HEAD:
            self._stop_parser(ProblemKind.HEAD_TOO_LARGE)
        if len(self.pipeline) == PIPELINE:
            self._stop_parser(ProblemKind.BAD_REQUEST)
        if self.parser.get_method() == b"CONNECT":
            self._stop_parser(ProblemKind.BAD_REQUEST)
        if self.parser.should_upgrade():
            return
        super().on_headers_complete()
        self._is_in_head, self._is_in_body = False, True

    def on_message_complete(self) -> None:
        if self._is_in_body:
            super().on_message_complete()
            self._is_in_body = False

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._expire_in(HEAD_S)

    def _ignore_upgrade(self, rest: bytes) -> None:
        """The parser stops behind the head: it reads it again without the offer, and then what comes behind it."""
        kept = [b"%b: %b" % field for field in self.headers if field[0] != b"upgrade"]
        line = b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does
        self.data_received(b"\r\n".join([line, *kept, b"", rest]))

    # --- the end of a connection ---

    def _stop_parser(self, kind: ProblemKind) -> None:
        self._refuse(kind)
        raise _Refused

    def _refuse(self, kind: ProblemKind, headers: dict[str, str] | None = None) -> None:
        """Behind the answers that are under way; in place of the one to a request whose body is at fault."""
        if self._is_refused:
            return
        self._is_refused = True
        if not self._is_in_body:
            self._say_farewell(kind, headers or {}, is_next=self._is_answering())
        elif self.pipeline:
            self.pipeline.popleft()
            self._say_farewell(kind, headers or {}, is_next=True)
        elif not self.cycle.response_started:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
            self._say_farewell(kind, headers or {}, is_next=False)
        elif self.cycle.response_complete:
            self.transport.close()
        else:
            self.cycle.keep_alive = False

    def _say_farewell(self, kind: ProblemKind, headers: dict[str, str], *, is_next: bool) -> None:
        request_id = secrets.token_hex(16)
        path = self.url.partition(b"?")[0][:MAX_NAME].decode("latin-1")
        get_logger().info("connection_refused", code=kind.code, request_id=request_id)
        headers |= {HEADER: request_id, "Connection": "close"}
        scope: Scope = {"type": "http", "method": "GET", "path": path}
        app = cast("ASGI3Application", problem_response(scope, Problem(kind, f"{kind.title}.", headers=headers)))
        cycle = self._last_cycle(scope)
        if is_next:
            self.pipeline.appendleft((cycle, app))
        else:
            self._start_asgi_task(cycle, app)

    def _last_cycle(self, scope: Scope) -> RequestResponseCycle:
        return RequestResponseCycle(
            scope=cast("HTTPScope", scope),
            transport=cast("asyncio.Transport", _LastWords(self)),
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=False,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=False,
            keep_alive=False,
            on_response=lambda: None,
        )

    def linger(self) -> None:
        """Say that nothing more will come, and read on for a moment: a reset would take the answer along."""
        self._is_over = True
        self._expire_in(LINGER_S)
        if not self.transport.is_closing():
            self.transport.write_eof()
            self.flow.resume_reading()

    def _expire_in(self, seconds: float) -> None:
        self._deadline = self.loop.time() + seconds

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _sweep(self) -> None:
        self._sweeping = self.loop.call_later(SWEEP_S, self._sweep)
        if self.loop.time() < self._deadline:
            return
        if self.flow.write_paused or self._is_over or self.transport.is_closing():
            self.transport.abort()
        elif self._is_answering() or self._is_refused:
            return
        elif self._is_in_head:
            self._refuse(ProblemKind.REQUEST_TIMEOUT)
        else:
            self.transport.close()


class _LastWords:
    """The transport, as the last answer of a connection sees it."""

    def __init__(self, connection: ApiConnection) -> None:
        self.write = connection.transport.write
        self.is_closing = connection.transport.is_closing
        self.close = connection.linger

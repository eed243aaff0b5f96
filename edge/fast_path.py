"""One connection of a phone: an HTTP/1 protocol class of uvicorn that answers scans without the application.

What can be decided at once is decided here: the code is in the worker's cache and its decision awaits nothing. A
code that is not there is looked up, and the connection waits. Everything else is handed to the Starlette application,
which calls the same Redirector: the two ways are held to the same answers and records by a differential test.

Invariants:
- A scan is in the spool before its answer leaves: answers wait in the Outbox until the records were written, by one
  write(2) for all connections.
- Answers leave in the order of the requests. While one waits, those behind it on the same connection are not read.
- Nothing a client does holds more than a bound: MAX_HEAD and MAX_BODY of a request, MAX_REST of what follows it,
  PIPELINE requests at once, the transport's write buffer of answers that it does not take, HEAD_S for a request to
  come, IDLE_S between two, MAX_CONNECTIONS of a worker.
- Deadlines are looked at once a second by the sweeper of the Connections: no timer per request.

When the spool refuses, or recording fails, the answer goes out all the same. When a look-up fails, the answer is 503.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable
from email.utils import formatdate
from functools import partial
from typing import Any, cast
from urllib.parse import unquote

import msgspec
from starlette.types import ASGIApp, Scope
from uvicorn._types import HTTPScope
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle
from uvicorn.server import ServerState

from edge.answers import Answer, refusal
from edge.bounded_map import BoundedMap
from edge.domains import Domains, ScannedCode
from edge.hot_path import HotConnection, HotPath, Memory, write_answers
from edge.http_head import (
    MAX_HEAD,
    BadHead,
    HeadReader,
    RequestLine,
    check_framing,
    check_unfinished,
    parse_headers,
    parse_request_line,
)
from edge.local_cache import CachedRoute, LocalCache
from edge.ready_scan import HeaderBlock, Item, ReadyCode
from edge.recorder import Recorder, packed_address, ready_peer
from edge.redirect import Redirector, Scan
from edge.resolver import Resolver
from scanhop.wire.domains import Domain

HEAD_S = 15.0
IDLE_S = 75.0
BEAT_S = 0.1
SWEEP_S = 1.0
MAX_CONNECTIONS = 10_000
PIPELINE = 64
MAX_REST = 2 * MAX_HEAD
MAX_BODY = 1024
ENOUGH = 64
MAX_HOT_LINES = 16_384
MAX_HOT_LINE = 256
LINGER_S = 1.0

_END = b"\r\n\r\n"
_CRLF = b"\r\n"
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_SCANNING = (b"GET", b"HEAD")
_log = logging.getLogger("uvicorn.error")


class Outbox:
    """Answers, in the order of the requests: they leave once their scans are in the spool.

    Handing scans over to the spool costs the same for one as for many. So while each look at the sockets brings more
    requests, the answers wait for the next look, until ENOUGH wait; nobody waits for a request that does not come.
    """

    def __init__(
        self,
        recorder: Recorder,
        loop: asyncio.AbstractEventLoop,
        reader: HeadReader,
        custom_hosts: dict[bytes, Domain],
    ) -> None:
        self._recorder = recorder
        self._call_soon = loop.call_soon
        lines = Memory(MAX_HOT_LINES)
        self.hot = HotPath(lines, reader.blocks, custom_hosts, self._look_soon)
        self._closing: list[Callable[[], None]] = []
        self._seen = 0
        self.ready_scans = 0

    def send(self, item: Item) -> None:
        self.hot.append(item)

    def then(self, close: Callable[[], None]) -> None:
        """What ends a connection once its last answer was written."""
        if not self.hot.is_looking:
            self._look_soon()
        self._closing.append(close)

    def hurry(self) -> None:
        """What waits leaves before anything that is called soon from now on."""
        self._seen = ENOUGH

    def _look_soon(self) -> None:
        self.hot.is_looking = True
        self._seen = 0
        self._call_soon(self._look)

    def _look(self) -> None:
        """Called behind each look at the sockets."""
        waiting = len(self.hot.items)
        if self._seen < waiting < ENOUGH:
            self._seen = waiting
            self._call_soon(self._look)
        else:
            self.hot.is_looking = False
            self._leave()

    def _leave(self) -> None:
        items = self.hot.take_items()
        closing, self._closing = self._closing, []
        try:
            self.ready_scans += self._recorder.record_ready(items)
            self._recorder.flush()
        finally:
            write_answers(items)
            for close in closing:
                close()


class Connections:
    """What the connections of one worker share. `refused` counts answers to bad requests, by status.

    `hot` has the time of the last beat (`now`, monotonic seconds), `tail` (what ends the head of an answer) and
    `idle_deadline` (of a connection that was answered now); `lines` holds the request lines of codes that must be
    decided anew for each scan.
    """

    def __init__(  # noqa: PLR0913 - the parts of a worker
        self,
        cache: LocalCache,
        resolver: Resolver,
        redirector: Redirector,
        recorder: Recorder,
        domains: Domains,
        app: ASGIApp,
        max_connections: int = MAX_CONNECTIONS,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.reader = HeadReader()
        self.outbox = Outbox(recorder, self.loop, self.reader, domains.custom)
        self.hot = self.outbox.hot
        self._lines: BoundedMap[bytes, tuple[RequestLine, ScannedCode]] = BoundedMap(MAX_HOT_LINES)
        self.lines = self._lines.entries
        self.cache = cache
        self.resolver = resolver
        self.redirector = redirector
        self.domains = domains
        self.app = app
        self.max_connections = max_connections
        self.refused: Counter[int] = Counter()
        self.hits = 0
        self.server_state = ServerState()
        self._swept_at = 0.0
        self._beat()

    def new_connection(self, *, server_state: ServerState, **_: Any) -> "Connection":
        """What uvicorn calls for each connection that it accepted; its own list of them is the only one."""
        self.server_state = server_state
        return Connection(self)

    @property
    def open(self) -> set["Connection"]:
        return cast("set[Connection]", self.server_state.connections)

    def remember_line(self, request: "Request", scanned: ScannedCode, found: CachedRoute) -> None:
        """Of a known code on the default domain. An entry that was replaced in the cache is stale here too."""
        line = request.line
        if found.is_unknown or not scanned.is_on_default_domain or line.host or len(request.text) > MAX_HOT_LINE:
            return
        if not found.is_ready:
            self._lines.store(request.text, (line, scanned))
        elif line.method == b"GET" and not line.is_http_10:
            self.hot.lines.store(request.text, found)

    def drain(self) -> None:
        """From now on each connection ends with its next answer, or a moment later."""
        self.hot.is_draining = True
        for connection in list(self.open):
            connection.shutdown()

    async def keep_time(self) -> None:
        """Runs until cancelled."""
        while True:
            await asyncio.sleep(BEAT_S)
            self._beat()

    def _beat(self) -> None:
        hot = self.hot
        hot.now = time.monotonic()
        hot.idle_deadline = hot.now + IDLE_S
        self.date = formatdate(usegmt=True).encode("ascii")
        hot.tail = b"\r\nDate: " + self.date + _END
        self.closing_tail = b"\r\nConnection: close" + hot.tail
        if hot.now - self._swept_at >= SWEEP_S:
            self._swept_at = hot.now
            for connection in list(self.open):
                connection.check_deadline(hot.now)


class Connection(HotConnection, asyncio.Protocol):
    """Free for the next request, or: reading one (`_rest` holds what came of it), waiting for an answer, or refused,
    which is to say that nothing more is read. Choked: the client does not take its answers."""

    _transport: asyncio.Transport
    _peer = b""
    _rest = b""
    _is_waiting = False
    _is_refused = False
    _is_choked = False
    _is_half_closed = False
    _flow: FlowControl | None = None
    _cycle: RequestResponseCycle | None = None

    def __init__(self, shared: Connections) -> None:
        super().__init__(shared.hot)
        self._shared = shared
        self._deadline = shared.hot.now + HEAD_S

    # --- what the transport calls ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        peer = transport.get_extra_info("peername")
        self._peer = packed_address(peer[0]) if isinstance(peer, tuple) else b""
        self._ready_peer = ready_peer(self._peer)
        shared = self._shared
        connections = shared.server_state.connections
        connections.add(self)  # type: ignore[arg-type]
        if shared.hot.is_draining:  # it was accepted at the last moment
            self.shutdown()
        if len(connections) > shared.max_connections:
            self._refuse(503)

    def connection_lost(self, exc: Exception | None) -> None:
        self._shared.server_state.connections.discard(self)
        self._stop_reading()
        if self._cycle is not None:
            self._cycle.disconnected = True
            self._cycle.message_event.set()
        if self._flow is not None:
            self._flow.resume_writing()

    def eof_received(self) -> bool:
        """A client that has said all it wants to say still gets what it asked for."""
        self._is_half_closed = True
        self._deadline = self._shared.hot.now + HEAD_S
        if not self._is_waiting:
            self._close_soon()
        return True

    def pause_writing(self) -> None:
        self._is_choked = True
        self._is_free = False
        self._deadline = self._shared.hot.now + HEAD_S
        self._transport.pause_reading()
        if self._flow is not None:
            self._flow.pause_writing()

    def resume_writing(self) -> None:
        self._is_choked = False
        if self._flow is not None:
            self._flow.resume_writing()
        self._go_on()

    # --- what the hot path leaves to it ---

    def _take_last(self, found: ReadyCode, headers: bytes) -> None:
        self._send_item((self._transport, found, self._ready_peer, headers, self._shared.closing_tail))
        self._close_after_answer()

    def _receive(self, data: bytes) -> None:
        if self._is_refused:
            return
        is_begun = bool(self._rest)
        data = self._rest + data
        if self._is_waiting or self._is_choked:
            self._rest = data
            if len(data) > MAX_REST:
                self._transport.pause_reading()
            return
        self._rest = b""
        self._read(data, is_begun=is_begun)

    # --- what uvicorn calls ---

    def shutdown(self) -> None:
        """The worker drains: what is under way, or on its way at this moment, is answered."""
        if self._cycle is not None:
            self._cycle.keep_alive = False
        self._deadline = min(self._deadline, self._shared.hot.now + LINGER_S)

    # --- reading ---

    def _read(self, data: bytes, *, is_begun: bool = False) -> None:
        """Take requests from `data`; `is_begun`: its first bytes came earlier."""
        start = taken = 0
        self._is_free = False
        try:
            while taken < PIPELINE and (end := data.find(_END, start)) >= 0:
                line_end = data.find(_CRLF, start)
                if line_end == start:  # an empty line before the request line
                    start += 2
                    continue
                start = self._take(self._read_head(data, start, line_end, end + 4), data, start, end + 4)
                taken += 1
                if start < 0:
                    if not (self._is_waiting or self._is_refused or (is_begun and taken == 1)):
                        self._deadline = self._shared.hot.now + HEAD_S  # for the rest of a form
                    return
        except BadHead as error:
            self._refuse(error.status)
            return
        if start < len(data):
            self._keep(data[start:], is_begun=is_begun and not taken)
        else:
            self._is_free = not self._is_choked
            self._deadline = self._shared.hot.idle_deadline
        if self._is_half_closed and _END not in self._rest:
            self._close_soon()

    def _read_head(self, data: bytes, start: int, line_end: int, end: int) -> "Request":
        """Raises BadHead."""
        if end - start > MAX_HEAD:
            raise BadHead(431, "the head is too long")
        shared = self._shared
        text, raw = data[start:line_end], data[line_end + 2 : end]
        block = shared.reader.read_block(raw)
        known = shared.lines.get(text)
        if known is None or block.framing.host in shared.domains.custom:
            return Request(text, parse_request_line(text), raw, block)
        return Request(text, known[0], raw, block, known[1])

    def _keep(self, rest: bytes, *, is_begun: bool) -> None:
        """Bytes of a request that is not whole, or requests that are too many for this tick."""
        self._rest = rest
        if not is_begun:
            self._deadline = self._shared.hot.now + HEAD_S
        if _END in rest:
            self._transport.pause_reading()
            self._shared.loop.call_soon(self._go_on)
            return
        try:
            check_unfinished(rest)
        except BadHead as error:
            self._refuse(error.status)

    def _go_on(self) -> None:
        """Take up what was left over."""
        if self._is_waiting or self._is_refused or self._is_choked or self._transport.is_closing():
            return
        data, self._rest = self._rest, b""
        self._read(data)
        is_enough = len(self._rest) > MAX_REST if self._is_waiting else _END in self._rest
        if not is_enough:
            self._transport.resume_reading()

    # --- one request that is not the usual one; each answers where the next begins, -1: none is read for now ---

    def _take(self, request: "Request", data: bytes, start: int, end: int) -> int:
        """`data[start:end]` is the head. Raises BadHead."""
        line, framing = request.line, request.block.framing
        check_framing(line, framing)
        if framing.body_length:
            if line.method != b"POST":
                raise BadHead(405, "a body that nobody reads")
            return self._take_form(request, data, start, end)
        if line.method in _SCANNING:
            scanned = request.scanned or self._shared.domains.find_scanned(line.host or framing.host, line.path)
            if scanned is not None:
                return self._take_scan(request, scanned, data, end)
        return self._hand_over(request, data[end:])

    def _take_form(self, request: "Request", data: bytes, start: int, end: int) -> int:
        length = request.block.framing.body_length or 0
        if length > MAX_BODY:
            raise BadHead(413, "the body is too long")
        if len(data) - end >= length:
            return self._hand_over(request, data[end + length :], data[end : end + length])
        if request.block.framing.expects_continue and len(data) == end and not request.line.is_http_10:
            self._send(_CONTINUE)
        self._rest = data[start:]
        return -1

    def _take_scan(self, request: "Request", scanned: ScannedCode, data: bytes, end: int) -> int:
        shared = self._shared
        scan = Scan(self._peer, request.block.scan_headers, request.line.query, request.is_head)
        if scanned.key is None:
            return self._answer(request, shared.redirector.answer_impossible(scanned, scan), end)
        found = shared.cache.find_fresh(scanned.key, shared.hot.now)
        if found is None:
            self._is_waiting = True
            self._rest = data[end:]
            shared.resolver.look_up(
                scanned.key,
                partial(self._looked_up, request, scan),
                partial(shared.redirector.may_ask_postgres, scan),
            )
            return -1
        shared.hits += 1
        answer = shared.redirector.answer_now(found, scan)
        if answer is None:
            return self._hand_over(request, data[end:])
        if request.scanned is None:
            shared.remember_line(request, scanned, found)
        return self._answer(request, answer, end)

    def _looked_up(self, request: "Request", scan: Scan, found: CachedRoute | None) -> None:
        if self._is_refused:  # the phone has gone
            return
        try:
            self._answer_found(request, scan, found)
        except Exception:
            self._transport.abort()  # nothing would ever end its wait
            raise

    def _answer_found(self, request: "Request", scan: Scan, found: CachedRoute | None) -> None:
        redirector = self._shared.redirector
        answer = redirector.answer_unavailable(scan) if found is None else redirector.answer_now(found, scan)
        if answer is None:
            self._hand_over(request, self._rest)
            return
        self._is_waiting = False
        if self._answer(request, answer, 0) >= 0:
            self._go_on()

    def _answer(self, request: "Request", answer: Answer, at: int) -> int:
        if not self._closes_after(request):
            self._send(answer.encode(self._shared.hot.tail, is_head=request.is_head))
            return at
        self._send(answer.encode(self._shared.closing_tail, is_head=request.is_head))
        self._close_after_answer()
        return -1

    def _closes_after(self, request: "Request") -> bool:
        return self._shared.hot.is_draining or request.block.framing.closes or request.line.is_http_10

    def _send(self, data: bytes) -> None:
        self._send_item((self._transport, None, data, b"", b""))

    def _send_item(self, item: Item) -> None:
        self._shared.outbox.send(item)

    def _close_soon(self) -> None:
        """Behind what is in the outbox."""
        self._shared.outbox.then(self._transport.close)

    def _close_after_answer(self) -> None:
        self._stop_reading()
        self._deadline = self._shared.hot.now + HEAD_S
        self._shared.outbox.then(self._transport.close)

    def _stop_reading(self) -> None:
        self._is_free = False
        self._is_refused = True
        self._rest = b""

    def _refuse(self, status: int) -> None:
        """Answer, say that nothing more will come, and read on for a moment: a reset would take the answer along."""
        shared = self._shared
        shared.refused[status] += 1
        self._stop_reading()
        self._deadline = shared.hot.now + LINGER_S
        self._send(refusal(status).encode(shared.closing_tail))
        shared.outbox.then(self._end_writing)

    def _end_writing(self) -> None:
        if not self._transport.is_closing():
            self._transport.write_eof()

    def check_deadline(self, now: float) -> None:
        if now < self._deadline:
            return
        if self._is_choked or self._is_refused or self._transport.is_closing():  # what it was sent, it does not take
            self._transport.abort()
        elif self._is_waiting:
            return
        elif self._rest:
            self._refuse(408)
        else:
            self._transport.close()

    # --- what the application answers ---

    def _hand_over(self, request: "Request", rest: bytes, body: bytes = b"") -> int:
        self._is_waiting = True
        self._rest = rest
        if self._flow is None:
            self._flow = FlowControl(self._transport)
        cycle = self._cycle = RequestResponseCycle(
            scope=cast("HTTPScope", self._scope(request)),
            transport=self._transport,
            flow=self._flow,
            logger=_log,
            access_logger=_log,
            access_log=False,
            default_headers=[(b"date", self._shared.date)],
            message_event=asyncio.Event(),
            expect_100_continue=False,
            keep_alive=not self._closes_after(request),
            on_response=self._answered,
        )
        cycle.body += body
        cycle.more_body = False
        cycle.message_event.set()
        self._shared.outbox.hurry()  # the application's answer comes behind those of earlier requests
        task = self._shared.loop.create_task(cycle.run_asgi(self._shared.app))  # type: ignore[arg-type]
        tasks = self._shared.server_state.tasks
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        return -1

    def _answered(self) -> None:
        """By the application; where it did not keep the connection, that is closing."""
        self._is_waiting = False
        self._cycle = None
        if self._transport.is_closing():
            self._stop_reading()
            self._deadline = self._shared.hot.now + HEAD_S
            return
        self._shared.loop.call_soon(self._go_on)

    def _scope(self, request: "Request") -> Scope:
        line = request.line
        headers = parse_headers(request.raw)
        if line.host is not None:
            headers = [(b"host", line.host), *(pair for pair in headers if pair[0] != b"host")]
        peer = self._transport.get_extra_info("peername")
        path = line.path.decode("ascii")
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.0" if line.is_http_10 else "1.1",
            "server": None,
            "client": tuple(peer[:2]) if isinstance(peer, tuple) else None,
            "scheme": "http",
            "method": line.method.decode("ascii"),
            "root_path": "",
            "path": unquote(path),
            "raw_path": line.path,
            "query_string": line.query,
            "headers": headers,
            "state": {},
        }


class Request(msgspec.Struct, frozen=True, gc=False):
    """The head of one request, read. `text`: its first line; `raw`: its header lines; `scanned`: its code, where the
    line was seen before."""

    text: bytes
    line: RequestLine
    raw: bytes
    block: HeaderBlock
    scanned: ScannedCode | None = None

    @property
    def is_head(self) -> bool:
        return self.line.method == b"HEAD"

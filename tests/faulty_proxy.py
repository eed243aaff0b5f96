"""A proxy between ingest and ClickHouse that spoils what it is told to, and keeps what was sent.

Each insert meets the next fault of the script, or of none when the script is at its end. What belongs to the same
token must be the same insert in every byte and setting; the proxy notices when it is not.
"""

import asyncio
import contextlib
import socket
import struct
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from types import TracebackType
from typing import Self
from urllib.parse import parse_qs, urlsplit, urlunsplit

_HEAD_END = b"\r\n\r\n"
_NO_LINGER = struct.pack("ii", 1, 0)
_NOT_THE_INSERTS = {"query_id", "http_headers_progress_interval_ms"}
PATIENCE_S = 60


class Fault(Enum):
    """What becomes of one insert. Where the name says AFTER, ClickHouse has it."""

    NONE = "none"
    CLOSE_BEFORE_READING = "close before reading"
    RESET_IN_THE_BODY = "reset in the middle of the body"
    ERROR_500 = "500 without a code"
    ERROR_500_MEMORY = "500, code 241"
    ERROR_503 = "503"
    STALL = "no answer, and ClickHouse never hears of it"
    DROP_THE_ANSWER_AFTER = "the answer is dropped"
    TRUNCATE_THE_ANSWER_AFTER = "the answer ends in its head"
    ERROR_500_AFTER = "500 although it is committed"
    STALL_AFTER = "the answer does not come in time"
    DELAY = "late, in time"


DELAY_S = 0.2
FAULTS = [fault for fault in Fault if fault not in (Fault.NONE, Fault.DELAY)]


@dataclass(frozen=True)
class Insert:
    """One try that the proxy saw whole."""

    statement: str
    token: str
    settings: frozenset[tuple[str, str]]
    body: bytes

    @property
    def table(self) -> str:
        return self.statement.split()[2]


class FaultyProxy:
    """Listens while it is open; `url` is ClickHouse's, by way of the proxy."""

    def __init__(self, clickhouse_url: str) -> None:
        self._upstream = urlsplit(clickhouse_url)
        self.script: deque[Fault] = deque()
        self.met: list[Fault] = []
        self.inserts: list[Insert] = []
        self.is_away = False
        self._came = asyncio.Event()
        self._connections: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        self.url = urlunsplit(self._upstream._replace(netloc=f"127.0.0.1:{port}"))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for task in list(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def plan(self, faults: Iterable[Fault]) -> None:
        self.script.extend(faults)

    def changed(self) -> list[str]:
        """Tokens under which one table was sent more than one insert."""
        first: dict[tuple[str, str], Insert] = {}
        for insert in self.inserts:
            first.setdefault((insert.token, insert.table), insert)
        return [insert.token for insert in self.inserts if insert != first[insert.token, insert.table]]

    async def has_met(self, inserts: int) -> None:
        """Returns when so many inserts have come."""
        while len(self.met) < inserts:
            self._came.clear()
            await self._came.wait()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            while not self.is_away and await self._serve_one(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._connections.discard(task)
            writer.close()

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """False: the connection is over."""
        head = await reader.readuntil(_HEAD_END)
        insert_statement = _insert_statement(head)
        fault = self.script.popleft() if insert_statement and self.script else Fault.NONE
        if insert_statement:
            self.met.append(fault)
            self._came.set()
        if fault is Fault.CLOSE_BEFORE_READING:
            return False
        if fault is Fault.RESET_IN_THE_BODY:
            await self._reset_in_the_body(head, reader, writer)
            return False
        body = await reader.readexactly(_length(head))
        if insert_statement:
            self.inserts.append(_insert(head, insert_statement, body))
        return await self._answer(fault, head, body, writer)

    async def _answer(self, fault: Fault, head: bytes, body: bytes, writer: asyncio.StreamWriter) -> bool:
        if fault in _REFUSALS:
            writer.write(_REFUSALS[fault])
            await writer.drain()
            return True
        if fault is Fault.STALL:
            await asyncio.sleep(PATIENCE_S)
            return False
        answer = await self._forward(head, body)
        if fault is Fault.DELAY:
            await asyncio.sleep(DELAY_S)
        if fault is Fault.STALL_AFTER:
            await asyncio.sleep(PATIENCE_S)
        if fault in (Fault.STALL_AFTER, Fault.DROP_THE_ANSWER_AFTER):
            return False
        if fault is Fault.TRUNCATE_THE_ANSWER_AFTER:
            answer = answer[: answer.index(_HEAD_END) // 2]
        if fault is Fault.ERROR_500_AFTER:
            answer = _REFUSALS[Fault.ERROR_500]
        writer.write(answer)
        await writer.drain()
        return fault is not Fault.TRUNCATE_THE_ANSWER_AFTER

    async def _forward(self, head: bytes, body: bytes) -> bytes:
        """ClickHouse's whole answer."""
        up_reader, up_writer = await self._connect()
        try:
            up_writer.write(head + body)
            await up_writer.drain()
            answer_head = await up_reader.readuntil(_HEAD_END)
            return answer_head + await _read_body(answer_head, up_reader)
        finally:
            up_writer.close()

    async def _reset_in_the_body(
        self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Half of the body reaches ClickHouse; then both connections are gone."""
        _, up_writer = await self._connect()
        up_writer.write(head + await reader.readexactly(_length(head) // 2))
        with contextlib.suppress(ConnectionError):
            await up_writer.drain()
        for each in (writer, up_writer):
            each.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
            each.transport.abort()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(self._upstream.hostname, self._upstream.port)


def _refusal(status: str, text: bytes, *headers: bytes) -> bytes:
    lines = [f"HTTP/1.1 {status}".encode(), b"Content-Length: %d" % len(text), *headers]
    return b"\r\n".join(lines) + _HEAD_END + text


_REFUSALS = {
    Fault.ERROR_500: _refusal("500 Internal Server Error", b"something broke"),
    Fault.ERROR_500_MEMORY: _refusal(
        "500 Internal Server Error", b"Code: 241. (MEMORY_LIMIT_EXCEEDED)", b"X-ClickHouse-Exception-Code: 241"
    ),
    Fault.ERROR_503: _refusal("503 Service Unavailable", b"", b"Retry-After: 1"),
}


def _insert_statement(head: bytes) -> str:
    """ "" where the request is no insert, or has its statement elsewhere."""
    (statement,) = _parameters(head).get("query", [""])
    return statement if statement.startswith("INSERT") else ""


def _insert(head: bytes, statement: str, body: bytes) -> Insert:
    parameters = {name: value for name, (value,) in _parameters(head).items() if name not in _NOT_THE_INSERTS}
    return Insert(statement, parameters["insert_deduplication_token"], frozenset(parameters.items()), body)


def _parameters(head: bytes) -> dict[str, list[str]]:
    target = head.split(b" ", 2)[1].decode("ascii")
    return parse_qs(urlsplit(target).query, keep_blank_values=True)


def _length(head: bytes) -> int:
    return int(_header(head, b"content-length") or 0)


def _header(head: bytes, name: bytes) -> bytes | None:
    for line in head.split(b"\r\n")[1:]:
        key, _, value = line.partition(b":")
        if key.strip().lower() == name:
            return value.strip()
    return None


async def _read_body(head: bytes, reader: asyncio.StreamReader) -> bytes:
    if _header(head, b"transfer-encoding") != b"chunked":
        return await reader.readexactly(_length(head))
    body = b""
    while True:
        size = await reader.readuntil(b"\r\n")
        chunk = await reader.readexactly(int(size, 16) + 2)
        body += size + chunk
        if chunk == b"\r\n":
            return body

"""The ASGI application: `/` runs a statement, `/ping` answers.

Invariants: engine calls run in threads, at most `PARALLEL_STATEMENTS` at once, further ones wait; a result is fetched
no faster than the client reads it.

A failure before the first byte gets its status and `X-ClickHouse-Exception-Code`; one in mid-result is written into
the body between the markers that `X-ClickHouse-Exception-Tag` announces.
"""

import asyncio
import json
import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from scanhop.devstack.clickhouse_front.body import STATEMENT_LIMIT, StatementBody
from scanhop.devstack.clickhouse_front.compression import (
    ResponseCompressor,
    choose_response_encoding,
    compressor_for,
    decompressor_for,
)
from scanhop.devstack.clickhouse_front.engine import Answer, Engine, new_mark
from scanhop.devstack.clickhouse_front.failure import NOT_IMPLEMENTED, TOO_LARGE, QueryFailed, refusal
from scanhop.devstack.clickhouse_front.form import FormPart, is_form, parse_form
from scanhop.devstack.clickhouse_front.request import Envelope, QueryRequest, parse_request

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

PARALLEL_STATEMENTS = 32
log = logging.getLogger(__name__)


class ClientGone(Exception):
    """The client closed the connection before its request was complete."""


class FrontApp:
    def __init__(self, engine: Engine, scratch: Path) -> None:
        self._engine = engine
        self._scratch = scratch
        self._threads = ThreadPoolExecutor(PARALLEL_STATEMENTS, thread_name_prefix="statement")

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        path = scope["path"]
        if path == "/ping" or (path == "/" and scope["method"] in ("GET", "HEAD") and not scope["query_string"]):
            await _send_plain(send, 200, b"Ok.\n", [])
        elif path == "/":
            await self._statement(scope, receive, send)
        else:
            await _send_plain(send, 404, f"There is no handle {path}\n".encode(), [])

    def close(self) -> None:
        """Cancel what runs, without waiting for it."""
        self._engine.cancel_all()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _statement(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        envelope = _envelope(scope)
        request = parse_request(envelope)
        response = _Response(send, request, self._engine)
        body = StatementBody(self._scratch)
        try:
            request, uploads = await _read(receive, envelope, request, body)
            await self._answer(request, body, uploads, receive, response)
        except QueryFailed as failure:
            await response.fail(failure)
        except ClientGone:
            log.info("client gone before its request was complete")
        finally:
            body.close()

    async def _answer(
        self,
        request: QueryRequest,
        body: StatementBody,
        uploads: Mapping[str, bytes],
        receive: Receive,
        response: "_Response",
    ) -> None:
        loop = asyncio.get_running_loop()
        mark = new_mark()
        running = loop.run_in_executor(self._threads, self._engine.answer, request, body, uploads, mark)
        gone = asyncio.create_task(_client_gone(receive))
        waiting: set[asyncio.Future[Any]] = {running, gone}
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if not running.done() and request.cancel_with_client:
                await loop.run_in_executor(None, self._engine.cancel, mark)
            await self._send_answer(await running, response, gone)
        finally:
            gone.cancel()

    async def _send_answer(self, answer: Answer, response: "_Response", gone: "asyncio.Task[None]") -> None:
        loop = asyncio.get_running_loop()
        try:
            await response.start(answer)
            chunks = response.encoded(answer.chunks)
            while not gone.done():
                chunk = await loop.run_in_executor(self._threads, next, chunks, None)
                if chunk is None:
                    await response.finish()
                    return
                await response.send(chunk)
        finally:
            await loop.run_in_executor(self._threads, answer.close)


class _Response:
    """The answer to one statement, as it goes out."""

    def __init__(self, send: Send, request: QueryRequest, engine: Engine) -> None:
        self._send = send
        self._request = request
        self._engine = engine
        self._tag = secrets.token_hex(8)
        self._encoding: str | None = None

    async def start(self, answer: Answer) -> None:
        self._encoding = choose_response_encoding(self._request.encodings) if answer.format_name else None
        headers = self._common_headers()
        headers.append((b"x-clickhouse-summary", json.dumps(dict(answer.summary)).encode()))
        if answer.format_name is not None:
            headers.append((b"x-clickhouse-format", answer.format_name.encode()))
            headers.append((b"x-clickhouse-exception-tag", self._tag.encode()))
        if self._encoding is not None:
            headers.append((b"content-encoding", self._encoding.encode()))
        await self._send({"type": "http.response.start", "status": 200, "headers": headers})

    def encoded(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """`chunks` compressed as announced; an engine failure becomes the last words of the body."""
        compressor = None if self._encoding is None else compressor_for(self._encoding)
        try:
            for chunk in chunks:
                yield _compressed(compressor, chunk)
        except QueryFailed as failure:
            log.warning("failed in mid-result: %s", failure.message)
            yield _compressed(compressor, self._last_words(failure))
        if compressor is not None:
            yield compressor.flush()

    async def send(self, chunk: bytes) -> None:
        if chunk:
            await self._send({"type": "http.response.body", "body": chunk, "more_body": True})

    async def finish(self) -> None:
        await self._send({"type": "http.response.body", "body": b""})

    async def fail(self, failure: QueryFailed) -> None:
        headers = self._common_headers()
        headers.append((b"x-clickhouse-exception-code", str(failure.code).encode()))
        text = f"{failure.message} (version {self._engine.version})\n"
        await _send_plain(self._send, failure.status, text.encode(errors="surrogateescape"), headers)

    def _common_headers(self) -> Headers:
        timezone = self._request.settings.get("session_timezone") or self._engine.timezone
        query_id = self._request.query_id.encode("ascii", "replace").replace(b"\r", b"").replace(b"\n", b"")
        return [(b"x-clickhouse-query-id", query_id), (b"x-clickhouse-timezone", timezone.encode("ascii", "replace"))]

    def _last_words(self, failure: QueryFailed) -> bytes:
        message = f"{failure.message} (version {self._engine.version})\n".encode()
        head = f"\r\n__exception__\r\n{self._tag}\r\n".encode()
        return head + message + f"{len(message)} {self._tag}\r\n__exception__\r\n".encode()


def _compressed(compressor: ResponseCompressor | None, chunk: bytes) -> bytes:
    return chunk if compressor is None else compressor.compress(chunk)


def _envelope(scope: Mapping[str, Any]) -> Envelope:
    return Envelope(
        method=scope["method"],
        fields=parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True, errors="surrogateescape"),
        headers={name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]},
    )


async def _read(
    receive: Receive, envelope: Envelope, request: QueryRequest, body: StatementBody
) -> tuple[QueryRequest, dict[str, bytes]]:
    """The request with what its form says, and the files of the form; the statement goes into `body`."""
    if request.native_compression:
        raise refusal(NOT_IMPLEMENTED, "NOT_IMPLEMENTED", "compress=1 and decompress=1 are not supported")
    if is_form(request.content_type):
        parts = await _form_parts(receive, request)
        texts = [(part.name, part.value.decode(errors="surrogateescape")) for part in parts if not part.is_file]
        uploads = {part.name: part.value for part in parts if part.is_file}
        request = parse_request(envelope, texts, tuple(uploads))
        body.feed(request.query.encode(errors="surrogateescape"))
    else:
        uploads = {}
        if request.query:
            body.feed(request.query.encode(errors="surrogateescape") + b"\n")
        async for piece in _plain_body(receive, request.content_encoding):
            body.feed(piece)
    body.finish()
    return request, uploads


async def _plain_body(receive: Receive, encoding: str) -> AsyncIterator[bytes]:
    decompressor = decompressor_for(encoding)
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        more = message.get("more_body", False)
        for piece in decompressor.feed(message.get("body", b"")):
            yield piece
    decompressor.finish()


async def _form_parts(receive: Receive, request: QueryRequest) -> list[FormPart]:
    form = bytearray()
    async for piece in _plain_body(receive, request.content_encoding):
        form += piece
        if len(form) > STATEMENT_LIMIT:
            raise refusal(TOO_LARGE, "QUERY_IS_TOO_LARGE", "The form is too long")
    return parse_form(request.content_type, bytes(form))


async def _client_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _send_plain(send: Send, status: int, body: bytes, headers: Headers) -> None:
    plain = (b"content-type", b"text/plain; charset=UTF-8")
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": status, "headers": [plain, length, *headers]})
    await send({"type": "http.response.body", "body": body})

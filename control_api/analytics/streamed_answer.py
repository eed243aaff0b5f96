"""An answer whose body comes piece by piece, from a source that is closed whatever becomes of the client.

A client that goes away, or takes nothing for STALLED_S, ends it. A failure of the source in mid-body leaves the body
unfinished, so that the connection breaks off and nobody takes the part for the whole.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

STALLED_S = 60.0

Chunks = AbstractAsyncContextManager[AsyncIterator[bytes]]


class StreamedAnswer(StreamingResponse):
    """Opened by `open_stream` before the answer begins, so that what fails at once is a problem."""

    def __init__(self, stream: "OpenStream", media_type: str, headers: Mapping[str, str]) -> None:
        super().__init__(stream.chunks, 200, headers, media_type)
        self._stream = stream

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        sending = asyncio.create_task(self._send_all(send))
        gone = asyncio.create_task(_client_gone(receive))
        try:
            await asyncio.wait((sending, gone), return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                await sending
        finally:
            gone.cancel()
            sending.cancel()
            await asyncio.gather(sending, gone, return_exceptions=True)
            await self._stream.close()

    async def _send_all(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async for chunk in self._stream.chunks:
            async with asyncio.timeout(STALLED_S):
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


class OpenStream:
    """A source whose first piece is there."""

    def __init__(self, source: Chunks, chunks: AsyncIterator[bytes]) -> None:
        self._source = source
        self.chunks = chunks

    async def close(self) -> None:
        await self._source.__aexit__(None, None, None)


async def open_stream(source: Chunks, head: bytes = b"") -> OpenStream:
    """Waits for the first piece; `head` goes before it. Raises what the source raises."""
    chunks = await source.__aenter__()
    try:
        first = await anext(chunks, b"")
    except BaseException:
        await source.__aexit__(None, None, None)
        raise
    return OpenStream(source, _joined(head + first, chunks))


async def _joined(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for chunk in rest:
        yield chunk


async def _client_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass

"""A proxy before Postgres or Redis that passes everything on until it is told to fall silent, or to cut."""

import asyncio
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit, urlunsplit


class SilentProxy:
    """Silent: connections are accepted and kept, and nothing comes through them any more."""

    def __init__(self, url: str) -> None:
        self._target = urlsplit(url)
        self._passes = asyncio.Event()
        self._passes.set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        address = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        user = self._target.netloc.rpartition("@")[0]
        self.url = urlunsplit(self._target._replace(netloc=f"{user}@{address}" if user else address))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.cut()

    def fall_silent(self) -> None:
        self._passes.clear()

    def speak(self) -> None:
        self._passes.set()

    def cut(self) -> None:
        """Every connection; new ones are taken."""
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        await self._passes.wait()
        assert self._target.hostname is not None
        assert self._target.port is not None
        to_reader, to_writer = await asyncio.open_connection(self._target.hostname, self._target.port)
        self._writers.add(to_writer)
        await asyncio.gather(self._pump(reader, to_writer), self._pump(to_reader, writer), return_exceptions=True)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(1 << 16):
                await self._passes.wait()
                writer.write(data)
                await writer.drain()
        finally:
            writer.close()

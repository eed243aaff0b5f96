"""Phones at a constant rate, whatever the edge does: each scan is due at a moment and tells it in its Referer."""

import asyncio
import time
from dataclasses import dataclass, field
from urllib.parse import urlsplit

_HEAD_END = b"\r\n\r\n"
_TICK_S = 0.01


@dataclass
class SteadyPhones:
    """`prefix` begins every Referer; behind it stands the due time in nanoseconds of time.time_ns, and a number."""

    edge_url: str
    short_urls: list[str]
    scans_a_second: int
    seconds: float
    prefix: str
    connections: int
    answered: int = 0
    errors: list[str] = field(default_factory=list)

    def run(self) -> None:
        """Until every scan is answered. Raises RuntimeError when one was not answered 302."""
        asyncio.run(self._run())
        if self.errors:
            raise RuntimeError(f"{len(self.errors)} scans were not redirected: {self.errors[0]}")

    async def _run(self) -> None:
        due: asyncio.Queue[int | None] = asyncio.Queue()
        phones = [asyncio.create_task(self._scan(due)) for _ in range(self.connections)]
        began = time.time_ns()
        total, sent = int(self.scans_a_second * self.seconds), 0
        while sent < total:
            reached = min(total, int((time.time_ns() - began) / 1e9 * self.scans_a_second))
            for number in range(sent, reached):
                due.put_nowait(began + int(number * 1e9 / self.scans_a_second))
            sent = reached
            await asyncio.sleep(_TICK_S)
        for _ in phones:
            due.put_nowait(None)
        await asyncio.gather(*phones)

    async def _scan(self, due: "asyncio.Queue[int | None]") -> None:
        edge = urlsplit(self.edge_url)
        reader, writer = await asyncio.open_connection(edge.hostname, edge.port)
        paths = [urlsplit(url).path for url in self.short_urls]
        while (due_ns := await due.get()) is not None:
            path = paths[self.answered % len(paths)]
            writer.write(
                f"GET {path} HTTP/1.1\r\nHost: {edge.netloc}\r\nUser-Agent: Mozilla/5.0 (iPhone)\r\n"
                f"Referer: {self.prefix}{due_ns}/{self.answered}\r\n\r\n".encode()
            )
            answer = await reader.readuntil(_HEAD_END)
            self.answered += 1
            if not answer.startswith(b"HTTP/1.1 302"):
                self.errors.append(answer.split(b"\r\n")[0].decode())
        writer.close()

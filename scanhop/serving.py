"""How an HTTP process listens and serves: one way for the edge and the API.

The listening socket is opened before anything else, and may be inherited from the parent: a port in use is told at
once, and a process that is started again loses no waiting connection. SIGTERM and SIGINT drain: what was begun is
answered, then `serve` returns and the process ends with code 0.
"""

import asyncio
import resource
import signal
import socket
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import uvicorn
import uvloop
from starlette.applications import Starlette

from scanhop.settings import Bind

BACKLOG = 2048
DRAIN_S = 10


def open_listener(bind: Bind) -> socket.socket:
    """Raises OSError when the address cannot be had."""
    family = socket.AF_INET6 if ":" in bind.host else socket.AF_INET
    return socket.create_server((bind.host, bind.port), family=family, backlog=BACKLOG)


def raise_file_limit() -> int:
    """To what the system allows; how many descriptors this process may have."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return sys.maxsize if hard == resource.RLIM_INFINITY else hard


def connections_within(descriptors: int, wanted: int) -> int:
    """How many leave enough descriptors for the stores, for files and for those that are being refused."""
    return min(wanted, descriptors * 3 // 4)


def run_on_loop(main: Coroutine[Any, Any, None]) -> None:
    """`asyncio.run` on uvloop."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main)


@dataclass(frozen=True)
class Served:
    """An application on its listener. `new_connection`: what speaks HTTP there, in place of uvicorn's protocol."""

    app: Starlette
    listener: socket.socket
    new_connection: Callable[..., asyncio.Protocol] | None = None


def _nothing() -> None:
    pass


async def serve(
    *applications: Served, on_ready: Callable[[], None] = _nothing, on_drain: Callable[[], None] = _nothing
) -> None:
    """Until SIGTERM or SIGINT. `on_ready` is called when every listener is served, `on_drain` at the signal."""
    servers = [(_new_server(each), each.listener) for each in applications]

    def drain(number: int) -> None:
        on_drain()
        for server, _ in servers:
            server.handle_exit(number, None)

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, drain, number)
    serving = asyncio.gather(*(server.serve([listener]) for server, listener in servers))
    started = asyncio.gather(*(server.has_started.wait() for server, _ in servers))
    await asyncio.wait((serving, started), return_when=asyncio.FIRST_COMPLETED)
    if started.done():
        on_ready()
    await serving


class _Server(uvicorn.Server):
    """Leaves the signals to `serve`: uvicorn would raise the one that ended it once more, and die of it."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.has_started = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.has_started.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _new_server(served: Served) -> _Server:
    return _Server(
        uvicorn.Config(
            served.app,
            http=served.new_connection or "httptools",  # type: ignore[arg-type]
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=DRAIN_S,
        )
    )

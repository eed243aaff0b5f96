"""How an HTTP process listens and serves: one way for the edge and the API.

The listening socket is opened before anything else, and may be inherited from the parent: a port in use is told at
once, and a process that is started again loses no waiting connection. SIGTERM and SIGINT drain: what was begun is
answered, then `serve` returns and the process ends with code 0.
"""

import asyncio
import signal
import socket
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
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


def run_on_loop(main: Coroutine[Any, Any, None]) -> None:
    """`asyncio.run` on uvloop."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main)


async def serve(*applications: tuple[Starlette, socket.socket]) -> None:
    """Each application on its listener, until SIGTERM or SIGINT."""
    servers = [(_new_server(app), listener) for app, listener in applications]

    def drain(number: int) -> None:
        for server, _ in servers:
            server.handle_exit(number, None)

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, drain, number)
    await asyncio.gather(*(server.serve([listener]) for server, listener in servers))


class _Server(uvicorn.Server):
    """Leaves the signals to `serve`: uvicorn would raise the one that ended it once more, and die of it."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _new_server(app: Starlette) -> uvicorn.Server:
    return _Server(
        uvicorn.Config(
            app,
            http="httptools",
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=DRAIN_S,
        )
    )

"""The front as a process: opens the engine, listens on loopback, ends within seconds of SIGTERM."""

import argparse
import asyncio
import logging
import os
import signal
import socket
import sys
from pathlib import Path

import uvicorn

from scanhop.devstack.clickhouse_front.app import FrontApp
from scanhop.devstack.clickhouse_front.engine import Engine

PID_FILE = "front.pid"
SHUTDOWN_S = 2
KEEP_ALIVE_S = 300  # longer than clients keep idle connections, so that they never meet one just closed


def main() -> None:
    options = _parse_arguments()
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s", stream=sys.stderr
    )
    pid_file = options.data_dir / PID_FILE
    pid_file.write_text(f"{os.getpid()}\n")
    scratch = options.data_dir / "scratch"
    scratch.mkdir(exist_ok=True)
    listener = _listen(options.port)
    engine = Engine(options.data_dir / "engine", options.database, scratch)
    app = FrontApp(engine, scratch)
    _serve(app, listener)
    app.close()
    engine.close()
    pid_file.unlink(missing_ok=True)
    # A statement that cannot be cancelled must not hold up the end; what was acknowledged is on disk.
    os._exit(0)


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m scanhop.devstack.clickhouse_front")
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--database", required=True)
    return parser.parse_args()


def _listen(port: int) -> socket.socket:
    """Bound now, so that a taken port ends the process at once; uvicorn listens on it when the engine is open."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # Accepted connections inherit it; without it, head and body of an answer are 40 ms apart.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listener.bind(("127.0.0.1", port))
    return listener


def _serve(app: FrontApp, listener: socket.socket) -> None:
    # uvicorn raises the signal that ended it once more, which would end the process before its clean-up.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    config = uvicorn.Config(
        app,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=SHUTDOWN_S,
    )
    asyncio.run(uvicorn.Server(config).serve(sockets=[listener]))


if __name__ == "__main__":
    main()

"""A Redis of a test's own, which can be killed, started again at the same address, and paused."""

import os
import signal
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import redis

from scanhop.devstack.ports import reserve_port
from scanhop.devstack.redis import RedisEngine


class RedisServer:
    """Keeps what it acknowledged over a kill. `options` go to redis-server."""

    def __init__(self, directory: Path, *options: str, password: str = "") -> None:
        reserved = reserve_port()
        self._engine = RedisEngine(directory, directory / "log", reserved.number)
        reserved.release()
        self._options = [*options, *(("--requirepass", password) if password else ())]
        self._password = password
        self.url = self.database_url(0)

    def database_url(self, number: int) -> str:
        return f"redis://:{self._password}@127.0.0.1:{self._engine.port}/{number}"

    def start(self) -> None:
        self._engine.prepare()
        argv = [*self._engine.process_spec().argv, *self._options]
        self._process = subprocess.Popen(argv, stdout=subprocess.DEVNULL)
        with redis.Redis.from_url(self.url) as client:
            while not _answers(client):
                assert self._process.poll() is None
                time.sleep(0.02)

    def kill(self) -> None:
        """At once, paused or not."""
        self._process.kill()
        self._process.wait()

    def pause(self) -> None:
        os.kill(self._process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self._process.pid, signal.SIGCONT)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()


def _answers(client: "redis.Redis") -> bool:
    try:
        return bool(client.ping())
    except (redis.ConnectionError, redis.BusyLoadingError):
        return False

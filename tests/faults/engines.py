"""Real stores of a test's own, beside the product that uses them: each can be killed, hung and brought back."""

import os
import signal
from pathlib import Path
from types import TracebackType
from typing import Self

from scanhop.devstack.clickhouse import ClickHouseEngine
from scanhop.devstack.ports import reserve_port
from scanhop.devstack.postgres import PostgresEngine
from scanhop.devstack.redis import RedisEngine
from scanhop.supervisor import ChildProcess
from tests.product import descendants


class Engine:
    """One store, always at the same address and with the same data."""

    def __init__(self, engine: PostgresEngine | RedisEngine | ClickHouseEngine) -> None:
        self._engine = engine
        self._child: ChildProcess | None = None
        self._hung: list[int] = []

    def start(self) -> None:
        self._engine.prepare()
        self._child = ChildProcess(self._engine.process_spec())
        self._child.wait_ready()

    def kill(self) -> None:
        """SIGKILL, with all its processes."""
        for pid in self._pids():
            _signal(pid, signal.SIGKILL)
        if self._child is not None:
            self._child.wait_stopped()
        self._child, self._hung = None, []

    def hang(self) -> None:
        """It takes connections and says nothing any more."""
        self._hung = self._pids()
        for pid in self._hung:
            _signal(pid, signal.SIGSTOP)

    def go_on(self) -> None:
        for pid in self._hung:
            _signal(pid, signal.SIGCONT)
        self._hung = []

    def bring_back(self) -> None:
        """Whatever was done to it."""
        self.go_on()
        if self._child is None:
            self.start()

    def _pids(self) -> list[int]:
        return [] if self._child is None else [self._child.pid, *descendants(self._child.pid)]


class Engines:
    """The three of them, started with `with`. `settings`: what the product must be told."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(mode=0o755)
        ports = [reserve_port() for _ in range(3)]
        postgres = PostgresEngine(directory / "postgres", directory / "postgres.log", ports[0].number)
        redis = RedisEngine(directory / "redis", directory / "redis.log", ports[1].number)
        clickhouse = ClickHouseEngine(directory / "clickhouse", directory / "clickhouse.log", ports[2].number)
        for port in ports:
            port.release()
        self.postgres, self.redis, self.clickhouse = Engine(postgres), Engine(redis), Engine(clickhouse)
        self.redis_url = redis.url
        self.settings = {
            "SCANHOP_POSTGRES_DSN": postgres.dsn,
            "SCANHOP_REDIS_URL": redis.url,
            "SCANHOP_CLICKHOUSE_URL": clickhouse.url,
        }

    def bring_back(self) -> None:
        for engine in (self.postgres, self.redis, self.clickhouse):
            engine.bring_back()

    def __enter__(self) -> Self:
        self.bring_back()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for engine in (self.postgres, self.redis, self.clickhouse):
            engine.kill()


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return

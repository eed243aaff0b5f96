"""The stack as a whole: which engines, where they are reached, and their start and stop."""

from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from scanhop.devstack.account import require_ownership
from scanhop.devstack.clickhouse import ClickHouseEngine
from scanhop.devstack.directory_lock import DirectoryLock
from scanhop.devstack.failure import StackFailed
from scanhop.devstack.ports import ReservedPort, reserve_port
from scanhop.devstack.postgres import PostgresEngine
from scanhop.devstack.redis import RedisEngine
from scanhop.supervisor import ProcessSpec, Supervisor


@dataclass(frozen=True)
class StackAddresses:
    """Where each engine is reached; None for one that was not asked for."""

    postgres_dsn: str | None
    redis_url: str | None
    clickhouse_url: str | None


class EmbeddedStack:
    """The engines wanted, in one data directory.

    Either give `prepare()`'s specs to a supervisor and call `stop()` after stopping them, or use `start`/`stop` (or
    `with`), which do the same with a supervisor of the stack's own. The thread that starts the engines must outlive
    them: the kernel counts its end as the parent's death.
    """

    def __init__(self, data_dir: Path, *, postgres: bool = True, redis: bool = True, clickhouse: bool = True) -> None:
        self._directory = data_dir.resolve()
        self._ports: list[ReservedPort] = []
        self._postgres = PostgresEngine(*self._place("postgres")) if postgres else None
        self._redis = RedisEngine(*self._place("redis")) if redis else None
        self._clickhouse = ClickHouseEngine(*self._place("clickhouse")) if clickhouse else None
        self._lock = DirectoryLock(self._directory / "stack.lock")
        self.supervisor = Supervisor(lambda _event, _process, _facts: None)

    @property
    def addresses(self) -> StackAddresses:
        return StackAddresses(
            postgres_dsn=None if self._postgres is None else self._postgres.dsn,
            redis_url=None if self._redis is None else self._redis.url,
            clickhouse_url=None if self._clickhouse is None else self._clickhouse.url,
        )

    def prepare(self) -> list[ProcessSpec]:
        """Make the directories, end what a killed run left behind, and describe the processes to start.

        Holds the data directory until `stop()` or the end of this process. Raises StackFailed.
        """
        self._make_directories()
        self._lock.acquire()
        engines = [engine for engine in (self._postgres, self._redis, self._clickhouse) if engine is not None]
        for engine in engines:
            engine.prepare()
        specs = [engine.process_spec() for engine in engines]
        self._release_ports()
        return specs

    def start(self) -> None:
        """Start the engines together and wait until each is ready. Raises StackFailed or ChildFailed."""
        try:
            self.supervisor.start(self.prepare())
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop the engines of `start`, all at once, and give the data directory free."""
        self.supervisor.stop_together()
        self._release_ports()
        self._lock.release()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _place(self, engine: str) -> tuple[Path, Path, int]:
        port = reserve_port()
        self._ports.append(port)
        return self._directory / engine, self._directory / "logs" / f"{engine}.log", port.number

    def _make_directories(self) -> None:
        try:
            self._directory.mkdir(mode=0o755, parents=True, exist_ok=True)
            (self._directory / "logs").mkdir(exist_ok=True)
            require_ownership(self._directory / "logs")
        except OSError as error:
            raise StackFailed(f"cannot use {self._directory} as data directory: {error}") from error

    def _release_ports(self) -> None:
        for port in self._ports:
            port.release()

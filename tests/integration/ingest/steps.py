"""The steps that change something outside the process, named as they come, and a crash at any of them.

Run as a program, it takes the spool like `scanhop ingest` and kills itself at a step:

    python -m tests.integration.ingest.steps SPOOL POSTGRES_DSN CLICKHOUSE_URL SIDE STEP
"""

import asyncio
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

from ingest.loader import Loader
from ingest.process import build_collector
from scanhop.settings import Settings
from scanhop.stores.clickhouse import ClickHouse
from scanhop.stores.postgres import Postgres

BEFORE, AFTER = "before", "after"
OnStep = Callable[[str, str], None]
_DIRECTORY = "directory"


class Crashed(BaseException):
    """Passes through whatever catches errors."""


def crash_at(step: str, side: str) -> OnStep:
    def on_step(came: str, when: str) -> None:
        if (came, when) == (step, side):
            raise Crashed(f"{side} {step}")

    return on_step


def crash_after(events: int) -> OnStep:
    left = iter(range(events))

    def on_step(came: str, when: str) -> None:
        if next(left, None) is None:
            raise Crashed(f"{when} {came}")

    return on_step


def _kill_at(step: str, side: str) -> OnStep:
    def on_step(came: str, when: str) -> None:
        if (came, when) == (step, side):
            os.kill(os.getpid(), signal.SIGKILL)

    return on_step


@contextlib.contextmanager
def watched_steps(root: Path, on_step: OnStep) -> Iterator[None]:
    """Calls `on_step(name, BEFORE or AFTER)` around each step in the spool `root` and each insert."""
    insert = Loader._insert

    async def watched_insert(self: Loader, table: str, *rest: Any) -> None:
        on_step(f"insert {table}", BEFORE)
        await insert(self, table, *rest)
        on_step(f"insert {table}", AFTER)

    with contextlib.ExitStack() as stack:
        stack.enter_context(patch.object(Loader, "_insert", watched_insert))
        for name, describe in _CALLS.items():
            stack.enter_context(patch.object(os, name, _watched(getattr(os, name), root, describe, on_step)))
        yield


def _watched(
    call: Callable[..., Any], root: Path, describe: Callable[..., list[Path] | None], on_step: OnStep
) -> Callable[..., Any]:
    watching = threading.current_thread()

    def watched(*arguments: Any, **named: Any) -> Any:
        paths = (
            describe(*arguments) if threading.current_thread() is watching else None
        )  # the spool has one of its own
        if paths is None or not all(path.is_relative_to(root) for path in paths):
            return call(*arguments, **named)
        step = " ".join([call.__name__, *(_told(path) for path in paths)])
        on_step(step, BEFORE)
        result = call(*arguments, **named)
        on_step(step, AFTER)
        return result

    return watched


def _told(path: Path) -> str:
    return _DIRECTORY if path.is_dir() else path.name


def _path_of(fd: int) -> list[Path]:
    return [Path(f"/proc/self/fd/{fd}").readlink()]


def _paths(*paths: Any) -> list[Path] | None:
    return [Path(path) for path in paths] if all(isinstance(path, str | Path) for path in paths) else None


def _existing(path: Any) -> list[Path] | None:
    return [path] if isinstance(path, Path) and path.exists() else None


_CALLS: dict[str, Callable[..., list[Path] | None]] = {
    "fsync": _path_of,
    "rename": _paths,
    "unlink": _existing,
}


async def _collect(root: Path, postgres_dsn: str, clickhouse_url: str) -> None:
    settings = Settings(postgres_dsn=postgres_dsn, clickhouse_url=clickhouse_url, spool_dir=root)
    postgres = Postgres(postgres_dsn, max_connections=1, command_timeout_s=5)
    clickhouse = ClickHouse(clickhouse_url, timeout_s=30)
    await build_collector(settings, postgres, clickhouse).collect()


if __name__ == "__main__":
    spool, dsn, url, side, *words = sys.argv[1:]
    with (
        patch("ingest.collector.ACKED_GRACE_S", -1),
        watched_steps(Path(spool), _kill_at(" ".join(words), side)),
    ):
        asyncio.run(_collect(Path(spool), dsn, url))
    sys.exit("the step did not come")

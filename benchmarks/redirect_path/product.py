"""The stores and the jobs of the product, around the edges that are measured; none of them on the server core.

Ingest does not run: what it would take from the spool is removed between two measurements instead.
"""

import asyncio
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.redirect_path.codes import process_id, store_codes, wait_until_published
from scanhop.devstack import EmbeddedStack
from scanhop.stores.migrations import migrate
from scanhop.supervisor import ChildProcess, ProcessSpec

SPOOL_BYTES = 20 << 30


@dataclass(frozen=True)
class Stores:
    """`settings`: what an edge must be told."""

    settings: dict[str, str]
    redis_url: str
    redis_pid: int


@contextmanager
def running_stores(folder: Path, many: int) -> Iterator[Stores]:
    """The embedded engines with the codes in them, until the block ends. Raises NotPublished."""
    with EmbeddedStack(folder / "data") as stack:
        dsn, redis_url = stack.addresses.postgres_dsn or "", stack.addresses.redis_url or ""
        clickhouse_url = stack.addresses.clickhouse_url or ""
        asyncio.run(migrate(dsn, clickhouse_url))
        asyncio.run(store_codes(dsn, many))
        settings = {
            "SCANHOP_POSTGRES_DSN": dsn,
            "SCANHOP_REDIS_URL": redis_url,
            "SCANHOP_SPOOL_MAX_BYTES": str(SPOOL_BYTES),
            "SCANHOP_SECRET_KEY": "a secret for the benchmark only",
        }
        with _running_worker(folder, settings | {"SCANHOP_CLICKHOUSE_URL": clickhouse_url}):
            wait_until_published(redis_url)
            yield Stores(settings, redis_url, process_id(redis_url))


def empty_spool(spool: Path) -> None:
    """Removes what is sealed, as ingest would once ClickHouse has it."""
    for segment in spool.glob("*/*.sealed"):
        segment.unlink(missing_ok=True)


@contextmanager
def _running_worker(folder: Path, settings: dict[str, str]) -> Iterator[None]:
    env = {key: value for key, value in os.environ.items() if not key.startswith("SCANHOP_")}
    env |= {**settings, "SCANHOP_DATA_DIR": str(folder), "SCANHOP_LOG_LEVEL": "warning"}
    argv = [sys.executable, "-m", "scanhop", "worker"]
    worker = ChildProcess(ProcessSpec("worker", argv, env=env, cwd=folder, log_path=folder / "worker.log"))
    try:
        yield
    finally:
        worker.ask_to_stop()
        worker.wait_stopped()

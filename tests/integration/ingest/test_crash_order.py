"""A crash at any step from reading a segment to forgetting it: the next process goes on, each scan counts once."""

import asyncio
import contextlib
import signal
import sys
from pathlib import Path

import pytest

from ingest.collector import Collector
from scanhop.spool.segment import ACKED, BATCH, SEALED
from tests.integration.ingest.collecting import crash
from tests.integration.ingest.scans import SentScans
from tests.integration.ingest.steps import AFTER, BEFORE, Crashed, crash_after, crash_at, watched_steps

# The promise in its order: the frozen bytes are durable before the first try, the acknowledgement is durable before
# the segment goes, and the segment's going is durable before the acknowledgement is forgotten.
STEPS = [
    "fsync {n}.tmp",
    "rename {n}.tmp {n}.batch",
    "fsync directory",
    "insert qr_scan_events",
    "insert scan_batches",
    "rename {n}.batch {n}.acked",
    "fsync directory",
    "unlink {n}.sealed",
    "fsync directory",
    "unlink {n}.acked",
]
FIRST = [step.format(n="00000001") for step in STEPS]


@pytest.fixture(autouse=True)
def _forgets_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.collector.ACKED_GRACE_S", -1)


@pytest.fixture
def scans(spool) -> SentScans:
    return SentScans(spool)


def files(root: Path) -> set[str]:
    return {path.suffix for path in root.glob("*/*")}


async def finish(collector: Collector, root: Path) -> None:
    """Until nothing waits any more."""
    async with asyncio.timeout(30):
        while files(root) & {SEALED, BATCH, ACKED}:
            await collector.collect()
            await asyncio.sleep(0.01)


async def test_the_steps_come_in_the_order_of_the_promise(collector, scans, spool_root):
    scans.write_segment()
    came: list[str] = []
    with watched_steps(spool_root, lambda step, side: came.append(step) if side is BEFORE else None):
        await collector.collect()
    assert came == FIRST


@pytest.mark.parametrize("side", [BEFORE, AFTER])
@pytest.mark.parametrize("step", list(dict.fromkeys(STEPS)))
async def test_a_crash_at_a_step_loses_none_and_doubles_none(new_collector, scans, rows, spool_root, step, side):
    """Also where the same step crashes the next process too."""
    scans.write_segment()
    for _ in range(2):
        crashed = new_collector()
        with watched_steps(spool_root, crash_at(step.format(n="00000001"), side)), contextlib.suppress(Crashed):
            await crashed.collect()
        crash(crashed)
    scans.write_segment()
    await finish(new_collector(), spool_root)
    await scans.check(rows)


async def test_processes_that_crash_a_step_later_each_time_come_to_an_end(new_collector, scans, rows, spool_root):
    """Steps of equal names crash at each of their places."""
    scans.write_segment()
    for number in range(2 * len(STEPS)):
        crashed = new_collector()
        with watched_steps(spool_root, crash_after(number)), contextlib.suppress(Crashed):
            await crashed.collect()
        crash(crashed)
    await finish(new_collector(), spool_root)
    await scans.check(rows)


@pytest.mark.parametrize("step", dict.fromkeys(step for step in FIRST if step != "fsync 00000001.tmp"))
async def test_kill_9_after_a_step_loses_none_and_doubles_none(collector, settings, scans, rows, spool_root, step):
    scans.write_segment()
    arguments = [str(spool_root), str(settings.postgres_dsn), str(settings.clickhouse_url), AFTER, *step.split()]
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "tests.integration.ingest.steps", *arguments)
    assert await process.wait() == -signal.SIGKILL
    await finish(collector, spool_root)
    await scans.check(rows)

"""Whatever happens between ingest and ClickHouse: every scan is one row and is counted once."""

import asyncio
import os
import random
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from ingest.collector import Collector
from ingest.dead_letters import PARKED_SEGMENT
from ingest.insert_failures import CODES, FailureReason
from scanhop.settings import Settings
from scanhop.spool.segment import ACKED, BATCH, PARKED, SEALED
from tests.faulty_proxy import FAULTS, Fault, FaultyProxy
from tests.integration.ingest.collecting import crash, take
from tests.integration.ingest.scans import SentScans
from tests.product import eventually

REASONS = {
    Fault.CLOSE_BEFORE_READING: FailureReason.INTERRUPTED,
    Fault.RESET_IN_THE_BODY: FailureReason.INTERRUPTED,
    Fault.ERROR_500: FailureReason.SERVER_ERROR,
    Fault.ERROR_500_MEMORY: FailureReason.OVERLOADED,
    Fault.ERROR_503: FailureReason.OVERLOADED,
    Fault.STALL: FailureReason.TIMED_OUT,
    Fault.DROP_THE_ANSWER_AFTER: FailureReason.INTERRUPTED,
    Fault.TRUNCATE_THE_ANSWER_AFTER: FailureReason.INTERRUPTED,
    Fault.ERROR_500_AFTER: FailureReason.SERVER_ERROR,
    Fault.STALL_AFTER: FailureReason.TIMED_OUT,
}
SEEDS = [*range(8), *(pytest.param(seed, marks=pytest.mark.soak) for seed in range(8, 100))]


@pytest.fixture
def scans(spool) -> SentScans:
    return SentScans(spool)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.value)
async def test_after_a_fault_the_same_insert_is_sent_again(new_collector, proxy, scans, rows, spool_root, fault):
    """It spoils the rows first, then the line in `scan_batches`."""
    scans.write_segment()
    proxy.plan([fault, Fault.NONE, fault])
    collector = new_collector(proxy.url, timeout_s=1)
    await take(collector, 1)
    assert len(proxy.met) == 5
    assert proxy.changed() == []
    assert collector.figures.retries == {REASONS[fault]: 2}
    assert [path.suffix for path in spool_root.glob("*/0*")] == [ACKED]
    assert all(("wait_end_of_query", "1") in insert.settings for insert in proxy.inserts), "believed too soon"
    await scans.check(rows)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.value)
async def test_after_a_fault_and_a_crash_the_next_process_sends_the_same_insert(
    new_collector, proxy, scans, rows, fault
):
    scans.write_segment()
    for _ in range(3):
        proxy.plan([fault])
        crashed = new_collector(proxy.url, timeout_s=1)
        await crashed.collect()
        crash(crashed)
    await take(new_collector(proxy.url), 1)
    assert proxy.changed() == []
    await scans.check(rows)


async def test_a_late_answer_is_waited_for(new_collector, proxy, scans, rows):
    scans.write_segment()
    proxy.plan([Fault.DELAY, Fault.DELAY])
    assert await new_collector(proxy.url).collect() == 1
    assert proxy.met == [Fault.DELAY, Fault.DELAY]
    await scans.check(rows)


@pytest.mark.parametrize("seed", SEEDS)
async def test_any_sequence_of_faults_and_crashes_counts_each_scan_once(new_collector, proxy, scans, rows, seed):
    chosen = random.Random(seed)
    for _ in range(chosen.randint(1, 3)):
        scans.write_segment(chosen.randint(1, 9))
    proxy.plan(chosen.choice([*FAULTS, Fault.DELAY, Fault.NONE]) for _ in range(chosen.randint(3, 10)))
    while proxy.script:
        inserts = len(proxy.met) + chosen.randint(1, 3)
        await _run_and_crash(new_collector(proxy.url, timeout_s=1), proxy, inserts)
        if chosen.random() < 0.3:
            scans.write_segment(chosen.randint(1, 9))
    collector = new_collector(proxy.url)
    async with asyncio.timeout(60):
        while await rows("SELECT count() FROM scan_batches") != [(scans.segments,)]:
            await collector.collect()
            await asyncio.sleep(0.01)
    assert proxy.changed() == []
    await scans.check(rows)


async def _run_and_crash(collector: Collector, proxy: FaultyProxy, inserts: int) -> None:
    """Cut off wherever it is when so many inserts have met the proxy."""
    running = asyncio.create_task(_run(collector, proxy))
    met = asyncio.create_task(proxy.has_met(inserts))
    await asyncio.wait((running, met), return_when=asyncio.FIRST_COMPLETED)
    for task in (running, met):
        task.cancel()
    await asyncio.gather(running, met, return_exceptions=True)
    crash(collector)


async def _run(collector: Collector, proxy: FaultyProxy) -> None:
    """Until the script is at its end, or there is nothing left to spoil."""
    while proxy.script and any(collector._root.glob(f"*/*{SEALED}")):
        await collector.collect()
        await asyncio.sleep(0.01)
    proxy.script.clear()


@contextmanager
def ingest_process(settings: Settings, clickhouse_url: str) -> Iterator[Callable[[], None]]:
    """`scanhop ingest`; yields what kills it by SIGKILL."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("SCANHOP_")}
    env |= {
        "SCANHOP_POSTGRES_DSN": str(settings.postgres_dsn),
        "SCANHOP_CLICKHOUSE_URL": clickhouse_url,
        "SCANHOP_SPOOL_DIR": str(settings.spool_root),
        "SCANHOP_LOG_LEVEL": "warning",
    }
    pid = os.posix_spawn(sys.executable, [sys.executable, "-m", "scanhop", "ingest"], env)

    def kill() -> None:
        os.kill(pid, signal.SIGKILL)

    try:
        yield kill
    finally:
        kill()
        os.waitpid(pid, 0)


async def test_kill_9_of_ingest_between_the_tries_changes_nothing(settings, proxy, scans, rows, spool_root):
    scans.write_segment()
    for fault in (Fault.DROP_THE_ANSWER_AFTER, Fault.STALL_AFTER, Fault.RESET_IN_THE_BODY):
        proxy.plan([fault])
        with ingest_process(settings, proxy.url):
            await asyncio.to_thread(eventually, lambda: not proxy.script)
    with ingest_process(settings, proxy.url):
        await asyncio.to_thread(eventually, lambda: any(spool_root.glob(f"*/*{ACKED}")))
    assert proxy.changed() == []
    assert len(proxy.met) > 3
    await scans.check(rows)


async def test_what_clickhouse_refuses_is_parked_only_when_it_is_refused_again_and_again(
    new_collector, proxy, scans, spool_root, monkeypatch
):
    monkeypatch.setattr("ingest.freezer.encode_rows", lambda *_: b"\x01\x01\x08event_id\x04UUID")
    scans.write_segment()
    await take(new_collector(proxy.url), 1)
    assert sorted(path.suffix for path in spool_root.glob("*/0*")) == [".json", PARKED, PARKED_SEGMENT]
    assert len(proxy.inserts) == 3
    assert proxy.changed() == []


async def test_a_refused_line_in_scan_batches_parks_no_batch(
    new_collector, proxy, scans, rows, spool_root, monkeypatch
):
    """Its rows are in: parked and sent again much later, they would no longer be recognised."""
    account = {"batch_id": "no id"}
    scans.write_segment()
    with monkeypatch.context() as patch:
        patch.setattr("ingest.loader._account", lambda header: account)
        collector = new_collector(proxy.url)
        for _ in range(5):
            await collector.collect()
            await asyncio.sleep(0.1)
    assert sorted(path.suffix for path in spool_root.glob("*/0*")) == [BATCH, SEALED]
    await take(collector, 1)
    await scans.check(rows)


async def test_a_batch_whose_token_may_be_forgotten_is_parked_before_it_doubles(
    new_collector, proxy, spool, rows, spool_root, monkeypatch
):
    for table in ("qr_scan_events", "daily_aggregates"):
        await rows(f"ALTER TABLE {table} MODIFY SETTING non_replicated_deduplication_window = 1")
    scans = SentScans(spool)
    scans.write_segment()
    proxy.plan([Fault.DROP_THE_ANSWER_AFTER])
    crashed = new_collector(proxy.url)
    await crashed.collect()
    crash(crashed)
    (first,) = spool_root.glob(f"*/*{BATCH}")
    first.rename(first.with_suffix(".away"))
    first.with_suffix(SEALED).unlink()
    scans.write_segment()
    collector = new_collector()
    await take(collector, 1)
    first.with_suffix(".away").rename(first)
    monkeypatch.setattr("ingest.loader.YOUNG_S", 0)
    monkeypatch.setattr("ingest.loader.REMEMBERED_BATCHES", 1)
    await take(collector, 1)
    assert len(list(spool_root.glob(f"*/*{PARKED}"))) == 1
    assert await rows("SELECT count() FROM qr_scan_events") == [(len(scans.nonces),)]
    assert await rows("SELECT sum(events) FROM daily_aggregates") == [(len(scans.nonces),)]


async def test_an_old_batch_that_clickhouse_has_not_seen_is_sent(new_collector, scans, rows, monkeypatch):
    monkeypatch.setattr("ingest.loader.YOUNG_S", 0)
    monkeypatch.setattr("ingest.loader.REMEMBERED_BATCHES", 0)
    scans.write_segment()
    await take(new_collector(), 1)
    await scans.check(rows)


async def test_codes_stand_under_the_names_that_the_engine_gives_them(rows):
    told = {code: name for codes in CODES.values() for code, name in codes.items()}
    found = await rows(f"SELECT arrayJoin({list(told)}) AS code, errorCodeToName(code)")
    assert dict(found) == told

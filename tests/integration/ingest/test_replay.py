"""Rejected records and parked inserts come back, each once, whatever happens meanwhile."""

import asyncio
import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from ingest.collector import Collector
from ingest.dead_letters import CannotReplay, Kind, hand_back, list_dead_letters
from ingest.enrichment import Enrichment
from ingest.native_format import encode_string
from ingest.scan_reader import Scans
from scanhop.spool.segment import ACKED, BATCH, SEALED
from scanhop.wire.scan_record import Outcome, encode_headers, encode_route_prefix, encode_scan
from tests.faulty_proxy import Fault
from tests.integration.ingest.collecting import crash, take
from tests.integration.ingest.steps import AFTER, BEFORE, Crashed, crash_at, watched_steps
from tests.product import eventually
from tests.routes import new_route

MONTH_NS = 31 * 86_400 * 10**9
REPLAY_STEPS = [
    "fsync 00000001.tmp",
    "rename 00000001.tmp 00000001.replay-batch",
    "fsync directory",
    "insert qr_scan_events",
    "insert scan_batches",
    "rename 00000001.replay-batch 00000001.replay-acked",
    "fsync directory",
    "fsync 00000001.tmp",
    "rename 00000001.tmp 00000001.replay",
    "fsync directory",
    "unlink 00000001.replay-acked",
]


class Records:
    """One segment, of records that are told apart by their Referer."""

    def __init__(self, spool) -> None:
        self._spool = spool
        self.nonces: list[str] = []

    def add(self, code: str = "abc2345", at_ns: int | None = None) -> None:
        nonce = f"https://{uuid4()}.example/"
        head = encode_headers([(b"referer", nonce.encode())])
        now = self._spool.now_ns()
        record = encode_scan(encode_route_prefix(new_route(code=code)), at_ns or now, Outcome.REDIRECT, b"", head)
        self._spool.append(record, at_ns=now)
        self.nonces.append(nonce)

    def add_no_record(self) -> None:
        self._spool.append(b"no record", at_ns=self._spool.now_ns())

    def seal(self) -> None:
        assert self._spool.flush()
        self._spool.seal_if_due()


@pytest.fixture
def records(spool) -> Records:
    return Records(spool)


@contextmanager
def failing_on(*codes: str) -> Iterator[None]:
    """As a version would that has a fault in its enrichment."""
    take_steps, evil = Enrichment._take_steps, {encode_string(code.encode()) for code in codes}

    def fail(self: Enrichment, scans: Scans) -> None:
        if any(route.short_code in evil for route in scans.routes):
            raise ZeroDivisionError
        take_steps(self, scans)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Enrichment, "_take_steps", fail)
        yield


def replay_all(root: Path) -> None:
    for letter in list_dead_letters(root):
        if letter.kind in (Kind.PARKED, Kind.REJECTED):
            hand_back(letter)


async def finish(collector: Collector, root: Path) -> None:
    """Until nothing waits any more."""
    async with asyncio.timeout(30):
        while _suffixes(root) & {SEALED, BATCH, ".replay", ".replay-batch", ".replay-acked"}:
            await collector.collect()
            await asyncio.sleep(0.01)


def _suffixes(root: Path) -> set[str]:
    return {path.suffix for path in root.glob("*/*")}


async def check_once(rows, nonces: list[str], batches: int) -> None:
    assert sorted(row[0] for row in await rows("SELECT referer FROM qr_scan_events")) == sorted(nonces)
    assert await rows("SELECT sum(events), sum(scans) FROM daily_aggregates") == [(len(nonces), len(nonces))]
    assert await rows("SELECT count(), uniqExact(batch_id), sum(rows) FROM scan_batches") == [
        (batches, batches, len(nonces))
    ]
    assert await rows("SELECT uniqExact(event_id) FROM qr_scan_events") == [(len(nonces),)]


async def test_rejected_records_become_rows_when_this_version_can_make_them(collector, records, rows, spool_root):
    for code in ("good234", "evil234", "good235", "evil235"):
        records.add(code)
    records.seal()
    with failing_on("evil234", "evil235"):
        await collector.collect()
    assert await rows("SELECT count() FROM qr_scan_events") == [(2,)]
    replay_all(spool_root)
    await collector.collect()
    await check_once(rows, records.nonces, batches=2)
    assert list_dead_letters(spool_root) == []
    assert _suffixes(spool_root) == {".lock", ACKED}


async def test_a_replayed_record_has_the_event_id_that_it_would_have_had(collector, records, rows, spool_root):
    for code in ("good234", "evil234"):
        records.add(code)
    records.seal()
    with failing_on("evil234"):
        await collector.collect()
    replay_all(spool_root)
    await collector.collect()
    (first,), (second,) = await rows("SELECT event_id FROM qr_scan_events ORDER BY short_code DESC")
    assert second.int == first.int + 1


async def test_what_still_cannot_be_a_row_is_rejected_again_with_the_reason_of_this_try(
    collector, records, rows, spool_root
):
    for code in ("good234", "evil234", "evil235"):
        records.add(code)
    records.add_no_record()
    records.seal()
    with failing_on("evil234", "evil235"):
        await collector.collect()
        replay_all(spool_root)
        await finish(collector, spool_root)
    (letter,) = list_dead_letters(spool_root)
    assert letter.rows == 3
    with failing_on("evil235"):
        replay_all(spool_root)
        await finish(collector, spool_root)
    assert await rows("SELECT short_code FROM qr_scan_events ORDER BY short_code") == [("evil234",), ("good234",)]
    (letter,) = list_dead_letters(spool_root)
    assert letter.rows == 2
    assert "ZeroDivisionError" in letter.reason
    replay_all(spool_root)
    await finish(collector, spool_root)
    await check_once(rows, records.nonces, batches=3)
    (letter,) = list_dead_letters(spool_root)
    assert letter.rows == 1


async def test_records_of_other_months_become_batches_of_their_own(collector, records, rows, spool_root, spool):
    now = spool.now_ns()
    for at_ns in (now, now - MONTH_NS, now - 2 * MONTH_NS, now - MONTH_NS + 10**6):
        records.add(at_ns=at_ns)
    records.seal()
    await collector.collect()
    (letter,) = list_dead_letters(spool_root)
    assert (letter.kind, letter.rows) == (Kind.REJECTED, 3)
    replay_all(spool_root)
    await finish(collector, spool_root)
    await check_once(rows, records.nonces, batches=3)


async def test_a_segment_that_had_no_row_at_all_can_be_replayed(collector, records, rows, spool_root):
    records.add("evil234")
    records.seal()
    with failing_on("evil234"):
        await collector.collect()
    replay_all(spool_root)
    await finish(collector, spool_root)
    await check_once(rows, records.nonces, batches=1)


@pytest.mark.parametrize("side", [BEFORE, AFTER])
@pytest.mark.parametrize("step", list(dict.fromkeys(REPLAY_STEPS)))
async def test_a_crash_at_a_step_of_a_replay_loses_none_and_doubles_none(
    new_collector, records, rows, spool_root, step, side
):
    first = new_collector()
    for code in ("good234", "evil234"):
        records.add(code)
    records.add_no_record()
    records.seal()
    with failing_on("evil234"):
        await first.collect()
    crash(first)
    replay_all(spool_root)
    for _ in range(2):
        crashed = new_collector()
        with watched_steps(spool_root, crash_at(step, side)), contextlib.suppress(Crashed):
            await crashed.collect()
        crash(crashed)
    last = new_collector()
    await finish(last, spool_root)
    replay_all(spool_root)
    await finish(last, spool_root)
    await check_once(rows, records.nonces, batches=2)
    (letter,) = list_dead_letters(spool_root)
    assert letter.rows == 1


async def test_the_steps_of_a_replay_come_in_the_order_of_the_promise(collector, records, spool_root):
    records.add("evil234")
    records.add_no_record()
    records.seal()
    with failing_on("evil234"):
        await collector.collect()
    replay_all(spool_root)
    came: list[str] = []
    with watched_steps(spool_root, lambda step, side: came.append(step) if side is BEFORE else None):
        await collector.collect()
    assert came == REPLAY_STEPS


async def test_a_replay_meets_faults_as_any_batch_does(new_collector, proxy, records, rows, spool_root):
    collector = new_collector(proxy.url, timeout_s=1)
    for code in ("good234", "evil234"):
        records.add(code)
    records.seal()
    with failing_on("evil234"):
        await collector.collect()
    replay_all(spool_root)
    proxy.plan([Fault.RESET_IN_THE_BODY, Fault.ERROR_503, Fault.DROP_THE_ANSWER_AFTER])
    await finish(collector, spool_root)
    assert not proxy.script
    assert proxy.changed() == []
    await check_once(rows, records.nonces, batches=2)


async def test_a_segment_that_is_read_again_by_a_better_version_leaves_nothing_to_replay(
    new_collector, records, rows, spool_root
):
    """Else its record would be a row by its batch, and once more by the replay."""
    for code in ("good234", "evil234"):
        records.add(code)
    records.seal()
    crashed = new_collector()
    with (
        failing_on("evil234"),
        watched_steps(spool_root, crash_at("rename 00000001.tmp 00000001.batch", BEFORE)),
        contextlib.suppress(Crashed),
    ):
        await crashed.collect()
    crash(crashed)
    (letter,) = list_dead_letters(spool_root)
    with pytest.raises(CannotReplay):
        hand_back(letter)
    await finish(new_collector(), spool_root)
    assert list_dead_letters(spool_root) == []
    await check_once(rows, records.nonces, batches=1)


async def test_a_parked_batch_is_sent_as_it_was_once_its_cause_is_mended(collector, proxy, records, rows, spool_root):
    await rows("ALTER TABLE qr_scan_events ADD CONSTRAINT no_evil CHECK short_code != 'evil234'")
    for code in ("good234", "evil234"):
        records.add(code)
    records.seal()
    await take(collector, 1)
    (letter,) = list_dead_letters(spool_root)
    assert (letter.kind, letter.rows) == (Kind.PARKED, 2)
    assert "no_evil" in letter.reason
    content = letter.path.read_bytes()
    await rows("ALTER TABLE qr_scan_events DROP CONSTRAINT no_evil")
    assert await collector.collect() == 0
    hand_back(letter)
    await take(collector, 1)
    assert next(spool_root.glob(f"*/*{ACKED}")).read_bytes() == content
    await check_once(rows, records.nonces, batches=1)


async def test_a_parked_batch_whose_rows_are_in_heals_the_rollups(collector, records, rows, spool_root):
    """A materialised view that fails refuses the insert after the raw table has taken it."""
    await rows("ALTER TABLE daily_aggregates ADD CONSTRAINT none CHECK events > 1000")
    records.add()
    records.seal()
    await take(collector, 1)
    assert await rows("SELECT count() FROM qr_scan_events") == [(1,)]
    assert await rows("SELECT sum(events) FROM daily_aggregates") == [(0,)]
    await rows("ALTER TABLE daily_aggregates DROP CONSTRAINT none")
    replay_all(spool_root)
    await take(collector, 1)
    await check_once(rows, records.nonces, batches=1)


async def test_a_refused_replay_is_parked_and_can_be_replayed(collector, records, rows, spool_root):
    records.add("evil234")
    records.seal()
    with failing_on("evil234"):
        await collector.collect()
    await rows("ALTER TABLE qr_scan_events ADD CONSTRAINT no_evil CHECK short_code != 'evil234'")
    replay_all(spool_root)
    await take(collector, 1)
    assert {letter.kind for letter in list_dead_letters(spool_root)} == {Kind.PARKED, Kind.REPLAY}
    await rows("ALTER TABLE qr_scan_events DROP CONSTRAINT no_evil")
    replay_all(spool_root)
    await finish(collector, spool_root)
    await check_once(rows, records.nonces, batches=1)
    assert list_dead_letters(spool_root) == []


async def test_handing_back_while_ingest_runs_is_safe(collector, records, rows, spool_root):
    for _ in range(8):
        records.add("good234")
        records.add("evil234")
        records.seal()
    running = asyncio.create_task(collector.run())
    with failing_on("evil234"):
        await asyncio.to_thread(eventually, lambda: len(list_dead_letters(spool_root)) == 8, 60)

    def hand_back_all() -> None:
        with contextlib.suppress(CannotReplay):
            replay_all(spool_root)

    several = [asyncio.to_thread(hand_back_all) for _ in range(4)]
    await asyncio.gather(*several)
    await asyncio.to_thread(eventually, lambda: _nothing_left(spool_root), 60)
    collector.stop()
    await running
    await check_once(rows, records.nonces, batches=16)


def _nothing_left(root: Path) -> bool:
    with contextlib.suppress(CannotReplay):
        replay_all(root)
    return list_dead_letters(root) == []

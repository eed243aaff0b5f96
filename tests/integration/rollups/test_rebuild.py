"""The rollup is mended from raw while scans flow in and readers read, whatever ends it half way."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime, timedelta
from uuid import uuid4

import asyncpg
import pytest

from scanhop.rollups import corrections
from scanhop.rollups.corrections import Corrections
from scanhop.rollups.day_range import DayRange, single
from scanhop.rollups.key_check import KeyCheck
from scanhop.rollups.rebuild import LOCK_KEY, Rebuild, RebuildRefused, Rebuilt, only_rebuild
from scanhop.rollups.reconciliation import Reconciliation
from scanhop.rollups.statements import Statements
from scanhop.stores.errors import StoreUnavailable
from tests.batches import DAY, WORKSPACE, Row

DAYS = DayRange(date(2026, 3, 1), date(2026, 4, 1))
Run = Callable[..., Awaitable[Rebuilt]]


class Killed(BaseException):
    """What ends a program here."""


@pytest.fixture
def rebuild(statements, postgres_dsn, no_pause):
    async def run(days: DayRange = DAYS, now: datetime | None = None) -> Rebuilt:
        async with only_rebuild(postgres_dsn) as still_alone:
            return await Rebuild(statements, still_alone, no_pause).run(days, now or datetime.now(UTC))

    return run


@pytest.fixture
def agrees(statements, no_pause):
    async def run(days: DayRange = DAYS) -> bool:
        report = await Reconciliation(statements, timedelta(0), no_pause).run(days, datetime.now(UTC))
        return report.agrees and not report.unsettled

    return run


async def test_planted_differences_are_mended_and_all_agrees(warehouse, rebuild, agrees):
    lacking, doubled, moved, invented = (uuid4() for _ in range(4))
    warehouse.accept([Row(lacking, device="tablet"), Row(doubled), Row(doubled), Row(moved, is_bot=True)])
    with warehouse.without_rollup():
        warehouse.accept([Row(lacking), Row(lacking, DAY + timedelta(days=1)), Row(lacking, is_bot=True)])
    warehouse.roll_up(doubled, 2)
    warehouse.roll_up(invented, 7)
    assert not await agrees()
    assert (await rebuild()).mended == 4
    assert await agrees()
    assert warehouse.run(
        f"SELECT date, sum(events), sum(scans), sumMap(devices) FROM daily_aggregates WHERE qr_id = '{lacking}' "
        "GROUP BY date ORDER BY date"
    ) == [["2026-03-10", 3, 2, {"mobile": 1, "tablet": 1}], ["2026-03-11", 1, 1, {"mobile": 1}]]
    assert warehouse.rolled_up(invented) == 0


async def test_what_is_right_is_not_touched(warehouse, rebuild):
    warehouse.accept([Row(uuid4())])
    before = warehouse.run("SELECT * FROM daily_aggregates")
    assert await rebuild() == Rebuilt()
    assert warehouse.run("SELECT * FROM daily_aggregates") == before


async def test_corrections_outlive_the_merging_of_parts(warehouse, rebuild):
    code = uuid4()
    warehouse.accept([Row(code)])
    warehouse.roll_up(code, 5)
    await rebuild()
    warehouse.run("OPTIMIZE TABLE daily_aggregates FINAL")
    assert warehouse.run("SELECT events, scans, devices['mobile'] FROM daily_aggregates") == [[1, 1, 1]]


async def test_only_the_days_that_were_asked_for_are_mended(warehouse, rebuild):
    code, other = uuid4(), uuid4()
    warehouse.accept([Row(code), Row(other, DAY + timedelta(days=1))])
    warehouse.roll_up(code, 1)
    warehouse.roll_up(other, 1, DAY + timedelta(days=1))
    await rebuild(single(DAY.date()))
    assert (warehouse.rolled_up(code), warehouse.rolled_up(other)) == (1, 2)


async def test_more_codes_than_fit_one_correction_are_mended(warehouse, rebuild, agrees, monkeypatch):
    monkeypatch.setattr("scanhop.rollups.key_check.KEYS_AT_ONCE", 10)
    monkeypatch.setattr("scanhop.rollups.key_check.LISTED_AT_ONCE", 20)
    with warehouse.without_rollup():
        warehouse.accept([Row(uuid4()) for _ in range(35)])
    assert (await rebuild()).mended == 35
    assert await agrees()


async def test_a_batch_under_way_is_not_taken_for_an_error(warehouse, rebuild, agrees):
    """Raw has it, the rollup not yet, its line is not written: the same insert comes again and brings both."""
    code, rows, batch = uuid4(), [], uuid4()
    rows = [Row(code), Row(code)]
    warehouse.accept([Row(code)])
    warehouse.roll_up(code, 1)
    with warehouse.without_rollup():
        warehouse.insert(batch, rows)
    assert await rebuild() == Rebuilt(unsettled=1)
    warehouse.accept(rows, batch=batch)
    assert warehouse.rolled_up(code) == 4
    assert (await rebuild()).mended == 1
    assert warehouse.rolled_up(code) == 3
    assert await agrees()


async def test_a_batch_that_arrives_between_the_readings_is_not_taken_for_an_error(
    warehouse, rebuild, statements, monkeypatch
):
    code = uuid4()
    warehouse.accept([Row(code)])
    warehouse.roll_up(code, 1)
    list_rows, arrivals = Statements.list, iter(["read_rolled_up", "read_raw"])
    awaited = next(arrivals)

    async def let_one_arrive_before(self, name, parameters):
        nonlocal awaited
        if name == awaited:
            warehouse.accept([Row(code)])
            awaited = next(arrivals, None)
        return await list_rows(self, name, parameters)

    monkeypatch.setattr(Statements, "list", let_one_arrive_before)
    assert (await rebuild()).mended == 1
    assert warehouse.rolled_up(code) == 3


@pytest.mark.parametrize("step", ["before the record", "after the record", "after the insert", "after the note"])
async def test_killed_at_any_step_and_run_again_it_has_mended_once(warehouse, rebuild, agrees, monkeypatch, step):
    code = uuid4()
    warehouse.accept([Row(code), Row(code)])
    warehouse.roll_up(code, -1)
    insert = Statements.insert
    dies_at = {
        "before the record": ("rollup_corrections", False),
        "after the record": ("rollup_corrections", True),
        "after the insert": ("daily_aggregates", True),
        "after the note": ("settled_corrections", True),
    }[step]

    async def die(self, table, rows, token):
        if table != dies_at[0] or dies_at[1]:
            await insert(self, table, rows, token)
        if table == dies_at[0]:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Statements, "insert", die)
        with pytest.raises(Killed):
            await rebuild()
    assert warehouse.rolled_up(code) in (1, 2)
    # What was left is applied once, and leaves nothing to mend: readers meet no count beyond.
    assert (await rebuild()).mended == (1 if step == "before the record" else 0)
    assert warehouse.rolled_up(code) == 2
    assert await agrees()


async def test_a_correction_left_long_ago_is_given_up_and_what_is_still_wrong_mended(
    warehouse, rebuild, agrees, statements, monkeypatch
):
    code = uuid4()
    warehouse.accept([Row(code)])
    warehouse.roll_up(code, 1)
    monkeypatch.setattr(Corrections, "_settle", _die)
    with pytest.raises(Killed):
        await rebuild()
    monkeypatch.undo()
    warehouse.run("ALTER TABLE daily_aggregates MODIFY SETTING non_replicated_deduplication_window = 0")
    result = await rebuild(now=datetime.now(UTC) + corrections.RESEND_FOR + timedelta(minutes=1))
    assert (result.finished, result.mended) == (1, 0)
    assert await agrees()
    assert warehouse.run("SELECT is_applied FROM settled_corrections") == [[False]]


async def test_scans_flow_in_and_readers_see_no_count_go_back_or_jump(warehouse, rebuild, agrees):
    """Right codes only ever grow, by what was accepted; a wrong one goes to what is right in one step."""
    right, wrong = uuid4(), uuid4()
    with warehouse.without_rollup():
        warehouse.accept([Row(wrong) for _ in range(50)])
    warehouse.accept([Row(right) for _ in range(50)])
    seen: list[tuple[int, int]] = []
    is_over = asyncio.Event()

    def accept_one() -> None:
        warehouse.accept([Row(right), Row(wrong)], datetime.now(UTC))

    async def scan() -> int:
        batches = 0
        while not is_over.is_set() or batches < 10:
            await asyncio.to_thread(accept_one)
            batches += 1
            await asyncio.sleep(0.3)  # a code with a batch under way at every look is left alone
        return batches

    async def read() -> None:
        while not is_over.is_set():
            seen.append(await asyncio.to_thread(lambda: (warehouse.rolled_up(right), warehouse.rolled_up(wrong))))

    async def mend() -> None:
        mended = 0
        while not mended:
            mended = (await rebuild()).mended
        is_over.set()

    batches, *_ = await asyncio.gather(scan(), read(), mend())
    assert warehouse.rolled_up(right) == 50 + batches
    assert warehouse.rolled_up(wrong) == 50 + batches
    assert await agrees()
    rights, wrongs = zip(*seen, strict=True)
    assert list(rights) == sorted(rights)
    assert all(50 <= count <= 50 + batches for count in rights)
    assert list(wrongs) == sorted(wrongs)
    assert not any(batches < count < 50 for count in wrongs)


async def test_the_rollup_is_never_ahead_of_raw(warehouse):
    """What the check of settled codes stands on: within an insert, raw comes first."""
    code = uuid4()

    def insert_many() -> None:
        for _ in range(60):
            warehouse.insert(uuid4(), [Row(code)])

    inserting = asyncio.get_running_loop().run_in_executor(None, insert_many)
    while not inserting.done():
        rolled_up = await asyncio.to_thread(warehouse.rolled_up, code)
        [[raw]] = await asyncio.to_thread(warehouse.run, "SELECT count() FROM qr_scan_events")
        assert rolled_up <= int(raw)
    await inserting


async def test_a_code_is_settled_when_every_row_has_its_line(warehouse, statements):
    code, rows, batch = uuid4(), [Row(uuid4())], uuid4()
    warehouse.accept([Row(code)])
    warehouse.insert(batch, rows)
    keys = [(WORKSPACE, code), (WORKSPACE, rows[0].qr_id)]
    assert [each.is_settled for each in await KeyCheck(statements).examine(DAY.date(), keys)] == [True, False]
    warehouse.record(batch, rows)
    assert [each.is_settled for each in await KeyCheck(statements).examine(DAY.date(), keys)] == [True, True]


async def test_days_outside_the_raw_retention_are_refused(warehouse, rebuild):
    warehouse.run("ALTER TABLE qr_scan_events MODIFY TTL toDateTime(scanned_at) + INTERVAL 30 DAY")
    with pytest.raises(RebuildRefused, match="raw scans are kept since 2026-03-11"):
        await rebuild(single(DAY.date()), datetime(2026, 4, 9, tzinfo=UTC))
    await rebuild(DayRange(date(2026, 3, 11), date(2026, 3, 12)), datetime(2026, 4, 9, tzinfo=UTC))


async def test_days_whose_raw_scans_were_dropped_are_refused_and_stay_as_they_are(warehouse, rebuild):
    code = uuid4()
    warehouse.accept([Row(code)])
    warehouse.run("ALTER TABLE qr_scan_events DROP PARTITION 202603")
    with pytest.raises(RebuildRefused, match="raw holds nothing of 2026-03-10, though 1 rows were accepted"):
        await rebuild()
    assert warehouse.rolled_up(code) == 1


async def test_a_second_rebuild_is_refused_while_one_runs(postgres_dsn):
    async with only_rebuild(postgres_dsn):
        with pytest.raises(RebuildRefused, match="another rebuild is running"):
            async with only_rebuild(postgres_dsn):
                pass


async def test_nothing_is_corrected_once_the_lock_may_be_lost(warehouse, statements, postgres_dsn, no_pause):
    code = uuid4()
    warehouse.accept([Row(code)])
    warehouse.roll_up(code, 1)
    other = await asyncpg.connect(postgres_dsn)
    async with only_rebuild(postgres_dsn) as still_alone:
        await other.execute("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE objid = $1", LOCK_KEY)
        with pytest.raises(StoreUnavailable, match="where the lock is"):
            await Rebuild(statements, still_alone, no_pause).run(DAYS, datetime.now(UTC))
    await other.close()
    assert warehouse.rolled_up(code) == 2


async def _die(*_: object, **__: object) -> None:
    raise Killed

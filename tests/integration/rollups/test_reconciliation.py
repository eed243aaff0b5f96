"""Differences of one row are found and their batch is named; what is under way is none."""

from datetime import date, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from scanhop.rollups.day_range import DayRange
from scanhop.rollups.reconciliation import DayCounts, Kind, Reconciliation, Report
from tests.batches import DAY, FROZEN_AT, Row

DAYS = DayRange(date(2026, 3, 1), date(2026, 4, 1))
NOW = FROZEN_AT + timedelta(hours=1)


@pytest.fixture
def reconcile(statements, no_pause):
    async def run(days: DayRange = DAYS, now: datetime = NOW) -> Report:
        return await Reconciliation(statements, pause=no_pause).run(days, now)

    return run


def seen(report: Report) -> list[tuple[Kind, date, tuple[UUID, ...], int, int]]:
    return [(each.kind, each.day, each.batches, each.expected, each.found) for each in report.differences]


async def test_what_ingest_wrote_agrees_and_is_counted_by_day(warehouse, reconcile):
    one, other = uuid4(), uuid4()
    warehouse.accept([Row(one), Row(one), Row(other), Row(other, is_bot=True)])
    warehouse.accept([Row(other, DAY + timedelta(days=2))])
    report = await reconcile()
    assert report.agrees
    assert report.days == [
        DayCounts(date(2026, 3, 10), 4, 3, 4, 3, 4, 3),
        DayCounts(date(2026, 3, 12), 1, 1, 1, 1, 1, 1),
    ]


async def test_a_batch_over_midnight_agrees_on_both_days_and_when_only_one_is_asked_for(warehouse, reconcile):
    code = uuid4()
    warehouse.accept([Row(code, DAY - timedelta(seconds=1)), Row(code, DAY), Row(code, DAY)])
    report = await reconcile()
    assert report.agrees
    assert [(each.day.day, each.accepted_rows, each.rolled_up_rows) for each in report.days] == [
        (9, 1, 1),
        (10, 2, 2),
    ]
    report = await reconcile(DayRange(date(2026, 3, 10), date(2026, 3, 11)))
    assert report.agrees
    assert [(each.day.day, each.accepted_rows, each.rolled_up_rows) for each in report.days] == [(10, 2, 2)]


async def test_a_row_missing_in_raw_is_found_with_its_batch(warehouse, reconcile):
    code, lost = uuid4(), Row(uuid4())
    warehouse.accept([Row(code), Row(code)])
    batch = warehouse.accept([Row(code), lost])
    warehouse.delete_raw(lost)
    assert seen(await reconcile()) == [
        (Kind.DOUBLED_IN_ROLLUP, DAY.date(), (), 0, 1),
        (Kind.MISSING_IN_RAW, DAY.date(), (batch,), 2, 1),
    ]


async def test_a_row_doubled_in_raw_is_found_with_its_batch(warehouse, reconcile):
    code = uuid4()
    warehouse.accept([Row(code)])
    rows = [Row(code), Row(code)]
    batch = warehouse.accept(rows)
    warehouse.run(f"INSERT INTO qr_scan_events SELECT * FROM qr_scan_events WHERE event_id = '{rows[0].event_id}'")
    assert seen(await reconcile()) == [(Kind.DOUBLED_IN_RAW, DAY.date(), (batch,), 2, 3)]


async def test_one_row_missing_in_the_rollup_is_found_with_its_batch(warehouse, reconcile):
    code = uuid4()
    warehouse.accept([Row(uuid4())])
    batch = warehouse.accept([Row(code), Row(uuid4())])
    warehouse.roll_up(code, -1)
    assert seen(await reconcile()) == [(Kind.MISSING_IN_ROLLUP, DAY.date(), (batch,), 1, 0)]


async def test_one_row_doubled_in_the_rollup_is_found_with_its_batch(warehouse, reconcile):
    code = uuid4()
    warehouse.accept([Row(code), Row(code)])
    batch = warehouse.accept([Row(code)])
    warehouse.roll_up(code, 1)
    assert seen(await reconcile()) == [(Kind.DOUBLED_IN_ROLLUP, DAY.date(), (batch,), 3, 4)]


async def test_a_whole_batch_missing_in_the_rollup_is_one_difference_that_names_it_alone(warehouse, reconcile):
    codes = [uuid4() for _ in range(700)]
    warehouse.accept([Row(code) for code in codes])
    with warehouse.without_rollup():
        batch = warehouse.accept([Row(code) for code in codes[:600]])
    [difference] = (await reconcile()).differences
    assert (difference.kind, difference.batches, difference.codes) == (Kind.MISSING_IN_ROLLUP, (batch,), 600)
    assert (difference.expected, difference.found) == (1200, 600)


async def test_more_wrong_codes_than_are_judged_are_cut_and_said_to_be(warehouse, reconcile, monkeypatch):
    monkeypatch.setattr("scanhop.rollups.key_check.KEYS_AT_ONCE", 10)
    monkeypatch.setattr("scanhop.rollups.key_check.LISTED_AT_ONCE", 10)
    monkeypatch.setattr("scanhop.rollups.reconciliation.MOST_KEYS", 20)
    with warehouse.without_rollup():
        batch = warehouse.accept([Row(uuid4()) for _ in range(40)])
    report = await reconcile()
    assert report.is_cut
    assert [(each.batches, each.codes) for each in report.differences] == [((batch,), 20)]


async def test_a_batch_without_account_is_found(warehouse, reconcile):
    batch = uuid4()
    warehouse.insert(batch, [Row(uuid4())])
    assert seen(await reconcile()) == [(Kind.WITHOUT_ACCOUNT, DAY.date(), (batch,), 0, 1)]


async def test_an_account_without_rows_is_found(warehouse, reconcile):
    batch = uuid4()
    warehouse.record(batch, [Row(uuid4())])
    report = await reconcile()
    assert seen(report) == [(Kind.WITHOUT_ROWS, DAY.date(), (batch,), 1, 0)]
    assert report.days == [DayCounts(DAY.date(), accepted_rows=1, accepted_scans=1)]


async def test_a_scan_that_moved_from_one_code_to_another_in_the_rollup_is_found(warehouse, reconcile):
    one, other = uuid4(), uuid4()
    batch = warehouse.accept([Row(one), Row(other)])
    warehouse.roll_up(one, 1)
    warehouse.roll_up(other, -1)
    report = await reconcile()
    assert {(each.kind, each.batches) for each in report.differences} == {
        (Kind.DOUBLED_IN_ROLLUP, (batch,)),
        (Kind.MISSING_IN_ROLLUP, (batch,)),
    }
    assert report.days[0].rolled_up_rows == report.days[0].raw_rows


async def test_a_breakdown_that_says_something_else_is_found(warehouse, reconcile):
    code = uuid4()
    batch = warehouse.accept([Row(code)])
    warehouse.run(
        "INSERT INTO daily_aggregates (workspace_id, qr_id, date, devices) SELECT workspace_id, qr_id, date, "
        "map('tablet', 1, 'mobile', 18446744073709551615) FROM daily_aggregates"
    )
    report = await reconcile()
    assert [(each.kind, each.batches) for each in report.differences] == [(Kind.ROLLED_UP_OTHERWISE, (batch,))]


async def test_a_scan_counted_otherwise_than_accepted_is_found(warehouse, reconcile):
    rows = [Row(uuid4()), Row(uuid4())]
    batch = uuid4()
    warehouse.insert(batch, [rows[0], Row(rows[1].qr_id, is_bot=True)])
    warehouse.record(batch, rows)
    assert seen(await reconcile()) == [(Kind.COUNTED_OTHERWISE, DAY.date(), (batch,), 2, 2)]


async def test_a_young_batch_is_in_flight_and_no_difference(warehouse, reconcile):
    with warehouse.without_rollup():
        warehouse.insert(uuid4(), [Row(uuid4())], NOW - timedelta(minutes=1))
    report = await reconcile()
    assert report.agrees
    assert (report.days[0].raw_rows, report.days[0].in_flight, report.unsettled) == (1, 1, 1)


async def test_an_old_batch_whose_line_comes_while_it_is_looked_at_is_no_difference(warehouse, statements):
    batch, rows = uuid4(), [Row(uuid4())]
    warehouse.insert(batch, rows)

    async def write_its_line(seconds: float) -> None:
        warehouse.record(batch, rows)

    report = await Reconciliation(statements, pause=write_its_line).run(DAYS, NOW)
    assert report.agrees


async def test_an_insert_under_way_does_not_hide_an_error_of_another_code(warehouse, reconcile):
    wrong, busy = uuid4(), uuid4()
    batch = warehouse.accept([Row(wrong), Row(busy)])
    warehouse.roll_up(wrong, 1)
    with warehouse.without_rollup():
        warehouse.insert(uuid4(), [Row(busy)], NOW)
    report = await reconcile()
    assert seen(report) == [(Kind.DOUBLED_IN_ROLLUP, DAY.date(), (batch,), 1, 2)]
    assert report.unsettled == 1


async def test_a_line_that_was_sent_twice_is_one_account(warehouse, reconcile):
    rows = [Row(uuid4())]
    batch = warehouse.accept(rows)
    warehouse.run(f"INSERT INTO scan_batches SELECT * FROM scan_batches WHERE batch_id = '{batch}'")
    assert (await reconcile()).agrees


async def test_days_that_raw_no_longer_keeps_are_left_out(warehouse, reconcile):
    warehouse.accept([Row(uuid4())])
    warehouse.run("ALTER TABLE qr_scan_events MODIFY TTL toDateTime(scanned_at) + INTERVAL 1 YEAR")
    warehouse.record(uuid4(), [Row(uuid4())])
    assert not (await reconcile()).agrees
    after_a_year = await reconcile(now=NOW + timedelta(days=365))
    assert after_a_year == Report()


async def test_more_differences_than_are_told_are_cut_and_said_to_be(warehouse, reconcile, monkeypatch):
    monkeypatch.setattr("scanhop.rollups.reconciliation.MOST_TOLD", 2)
    for _ in range(3):
        warehouse.insert(uuid4(), [Row(uuid4())])
    report = await reconcile()
    assert report.is_cut
    assert len(report.differences) == 2

"""A file of scans becomes rows, each once, whatever is done to it and whatever ends the program."""

import csv
import gzip
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from random import Random
from uuid import UUID

import pytest

from ingest.csv_import import load as load_module
from ingest.csv_import import plan as plan_module
from ingest.csv_import.failure import ImportRefused
from ingest.csv_import.importer import DIRECTORY, Summary
from ingest.csv_import.plan import Reading
from ingest.csv_import.process import WhoseCodes, import_scans
from ingest.loader import Loader
from scanhop.client_facts.bots import list_version
from scanhop.rollups.day_range import DayRange
from scanhop.rollups.reconciliation import Reconciliation
from scanhop.rollups.statements import Statements
from scanhop.settings import Settings
from scanhop.stores.clickhouse import ClickHouse
from scanhop.stores.errors import StoreRejected, StoreUnavailable
from tests.batches import Warehouse
from tests.codes import insert_codes, run

HEADER = ("short_code", "scanned_at", "ip", "user_agent", "country")
YEAR = DayRange(date(2026, 1, 1), date(2027, 1, 1))


class Killed(BaseException):
    """What ends a program here."""


@pytest.fixture
def warehouse(clickhouse_url):
    found = Warehouse(clickhouse_url)
    yield found
    found.close()


@pytest.fixture
def settings(postgres_dsn, clickhouse_url, tmp_path):
    return Settings(postgres_dsn=postgres_dsn, clickhouse_url=clickhouse_url, data_dir=tmp_path / "data")


@pytest.fixture
async def codes(postgres_dsn) -> list[UUID]:
    return await insert_codes(postgres_dsn, ["menu", "card"])


@pytest.fixture
def write(tmp_path) -> Callable[..., Path]:
    def write_file(rows: Sequence[Sequence[str]], name: str = "scans.csv", header: Sequence[str] = HEADER) -> Path:
        path = tmp_path / name
        with path.open("w", newline="") as file:
            csv.writer(file).writerows([header, *rows])
        return path

    return write_file


@pytest.fixture
def do_import(settings):
    async def run_import(path: Path, whose: WhoseCodes = WhoseCodes(), **how: object) -> Summary:  # noqa: B008
        return await import_scans(settings, Reading(path, **how), whose, _ignore, _ignore)

    return run_import


@pytest.fixture
def small_batches(monkeypatch):
    monkeypatch.setattr(plan_module, "MAX_ROWS", 10)
    monkeypatch.setattr(plan_module, "ROWS_AT_ONCE", 7)


def row(number: int, code: str = "menu", month: int = 3) -> list[str]:
    at = datetime(2026, month, 1, tzinfo=UTC) + timedelta(seconds=number)
    return [code, at.isoformat(), f"192.0.2.{number % 250}", "curl/8", "AT"]


async def holds_once(warehouse: Warehouse, url: str, rows: int) -> None:
    """Raw, rollups and accounts agree on `rows`, and no event is there twice."""
    [[events, distinct]] = warehouse.run("SELECT count(), uniqExact(event_id) FROM qr_scan_events")
    assert (int(events), int(distinct)) == (rows, rows)
    assert warehouse.run("SELECT toUInt32(sum(events)) FROM daily_aggregates") == [[rows]]
    clickhouse = ClickHouse(url, timeout_s=60)
    try:
        report = await Reconciliation(Statements(clickhouse), timedelta(0)).run(YEAR, datetime.now(UTC))
    finally:
        await clickhouse.close()
    assert report.agrees, report.differences
    assert sum(day.accepted_rows for day in report.days) == rows


def _ignore(done: int, of: int) -> None:
    assert done <= of


async def test_a_row_becomes_a_scan_with_everything_it_says(do_import, write, warehouse, codes, postgres_dsn):
    [workspace] = await run(postgres_dsn, "SELECT workspace_id FROM qr_codes WHERE short_code = 'menu'")
    header = [*HEADER, "referer", "language", "region", "city", "device_type", "os", "browser", "is_bot"]
    said = ["MENU", "2026-03-10 09:00:00.5+01:00", "2001:db8::7", "x" * 2000, "at"]
    path = write(
        [[*said, "https://e.org/", "de-AT", "Tirol", "Wörgl", "Tablet", "iOS", "Safari", "no"]], header=header
    )
    summary = await do_import(path)
    assert (summary.read, summary.imported, summary.known, summary.rejected) == (1, 1, 0, 0)
    assert warehouse.run(
        "SELECT workspace_id, qr_id, short_code, toString(scanned_at), outcome, is_bot, bot_list_version, ip, "
        "country, region, city, language, device_type, os, browser, length(user_agent), referer, visitor = 0 "
        "FROM qr_scan_events"
    ) == [
        [
            *(str(workspace["workspace_id"]), str(codes[0]), "menu", "2026-03-10 08:00:00.500", "redirect", False),
            *(list_version(), "2001:db8::", "AT", "Tirol", "Wörgl", "de", "tablet", "iOS", "Safari", 1024),
            *("https://e.org/", 1),
        ]
    ]


async def test_the_same_file_again_or_under_another_name_or_packed_changes_nothing(
    do_import, write, warehouse, codes, clickhouse_url, tmp_path, small_batches
):
    rows = [row(number) for number in range(25)] + [row(number, "card", 5) for number in range(12)]
    path = write(rows)
    assert (await do_import(path)).imported == 37
    packed = tmp_path / "again.csv.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    for again in (path, packed, write(rows[::-1], "reversed.csv")):
        summary = await do_import(again)
        assert (summary.imported, summary.known) == (0, 37)
    await holds_once(warehouse, clickhouse_url, 37)


async def test_an_overlapping_file_adds_only_what_is_new(do_import, write, warehouse, codes, clickhouse_url):
    await do_import(write([row(number) for number in range(20)]))
    summary = await do_import(write([row(number) for number in range(15, 30)], "later.csv"))
    assert (summary.imported, summary.known) == (10, 5)
    await holds_once(warehouse, clickhouse_url, 30)


async def test_equal_rows_of_one_file_are_as_many_scans_and_stay_as_many(
    do_import, write, warehouse, codes, clickhouse_url
):
    await do_import(write([row(1), row(1), row(1)]))
    summary = await do_import(write([row(1), row(1), row(1), row(1)], "more.csv"))
    assert (summary.imported, summary.known) == (1, 3)
    await holds_once(warehouse, clickhouse_url, 4)


async def test_the_same_row_of_another_source_is_another_scan(do_import, write, warehouse, codes, clickhouse_url):
    path = write([row(1)])
    await do_import(path)
    assert (await do_import(path, source="bitly")).imported == 1
    await holds_once(warehouse, clickhouse_url, 2)


async def test_bad_rows_are_put_aside_with_line_and_reason_and_can_be_mended_there(
    do_import, write, warehouse, codes, clickhouse_url, tmp_path
):
    rows = [row(1), ["nope", *row(2)[1:]], [*row(3)[:1], "soon", *row(3)[2:]], row(4)[:3], ["!", *row(5)[1:]]]
    summary = await do_import(write(rows))
    assert (summary.read, summary.imported, summary.rejected) == (5, 1, 4)
    rejected = tmp_path / "scans.csv.rejected.csv"
    with rejected.open(newline="") as file:
        told = list(csv.reader(file))
    assert told[0] == ["line", "reason", *HEADER]
    assert sorted((line[0], line[1]) for line in told[1:]) == [
        ("3", "there is no code nope"),
        ("4", "scanned_at: 'soon' is no time of a known form"),
        ("5", "3 fields, the header has 5"),
        ("6", "there is no code !"),
    ]
    assert told[1 + [line[0] for line in told[1:]].index("3")][2:] == rows[1]
    rejected.write_text(rejected.read_text().replace("nope", "card"))
    assert (await do_import(rejected)).imported == 1
    await holds_once(warehouse, clickhouse_url, 2)


async def test_a_file_without_bad_rows_takes_the_rejected_ones_of_its_earlier_reading_away(
    do_import, write, codes, tmp_path
):
    path = write([["nope", *row(1)[1:]]])
    assert (await do_import(path)).rejected == 1
    write([row(1)])
    await do_import(path)
    assert not (tmp_path / "scans.csv.rejected.csv").exists()


async def test_codes_of_others_are_mapped_and_those_of_other_workspaces_are_none(
    do_import, write, warehouse, codes, postgres_dsn
):
    await insert_codes(postgres_dsn, ["stranger"])
    [found] = await run(postgres_dsn, "SELECT workspace_id FROM qr_codes WHERE short_code = 'menu'")
    rows = [["3xY", *row(1)[1:]], ["stranger", *row(2)[1:]]]
    summary = await do_import(write(rows), WhoseCodes(found["workspace_id"], renamed={"3xY": "menu"}))
    assert (summary.imported, summary.rejected) == (1, 1)
    assert warehouse.run("SELECT short_code FROM qr_scan_events") == [["menu"]]


async def test_codes_can_be_named_by_id(do_import, write, warehouse, codes):
    summary = await do_import(write([[str(codes[1]), "1773133687"]], header=["qr_id", "scanned_at"]))
    assert summary.imported == 1
    assert warehouse.run("SELECT short_code FROM qr_scan_events") == [["card"]]


async def test_an_unknown_domain_is_refused(do_import, write, codes):
    with pytest.raises(ImportRefused, match="there is no verified domain"):
        await do_import(write([row(1)]), WhoseCodes(domain="go.example.com"))


async def test_a_batch_has_rows_of_one_month_only_and_no_more_than_its_bound(
    do_import, write, warehouse, codes, small_batches
):
    await do_import(write([row(number, month=1 + number % 3) for number in range(33)]))
    assert warehouse.run(
        "SELECT toMonth(first_scan_at), toMonth(last_scan_at), toUInt32(rows) FROM scan_batches ORDER BY 1, 3"
    ) == [[1, 1, 1], [1, 1, 10], [2, 2, 1], [2, 2, 10], [3, 3, 1], [3, 3, 10]]


async def test_what_was_decided_is_said(do_import, tmp_path, codes):
    path = tmp_path / "scans.csv"
    path.write_bytes("short_code;scanned_at;city;note\nmenu;2026-03-10 09:00;Wörgl;x\n".encode("cp1252"))
    assert (await do_import(path)).remarks == [
        "not UTF-8: read as cp1252; say --encoding if that is wrong",
        "columns left out: note",
        "1 times name no zone and were read as UTC; say --timezone if that is wrong",
    ]


async def test_rows_that_were_deleted_can_be_imported_again(do_import, write, warehouse, codes):
    path = write([row(1), row(2)])
    await do_import(path)
    warehouse.run("ALTER TABLE qr_scan_events DELETE WHERE 1", mutations_sync=2)
    assert (await do_import(path)).imported == 2
    assert warehouse.run("SELECT toUInt32(count()) FROM qr_scan_events") == [[2]]


KILLS = {
    "while reading": (plan_module.Planner, "_store"),
    "while freezing": (plan_module, "write_batch"),
    "before the manifest": (plan_module, "write_manifest"),
    "before a batch": (load_module.BatchLoader, "_load"),
    "within a batch, before the insert": (Loader, "load"),
}


@pytest.mark.parametrize(
    ("when", "at_call"),
    [(when, call) for when in KILLS for call in (1, 3) if (when, call) != ("before the manifest", 3)],
)
async def test_killed_at_any_step_the_next_run_goes_on_and_every_row_is_there_once(
    do_import, write, warehouse, codes, clickhouse_url, settings, small_batches, monkeypatch, when, at_call
):
    path = write([row(number) for number in range(45)])
    owner, name = KILLS[when]
    calls, original = iter(range(1, 100)), getattr(owner, name)

    def die(*arguments: object) -> object:
        if next(calls) == at_call:
            raise Killed
        return original(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, die)
        with pytest.raises(Killed):
            await do_import(path)
    summary = await do_import(path)
    assert (summary.imported, summary.read, summary.known) == (45, 45, 0)
    await holds_once(warehouse, clickhouse_url, 45)
    assert [path.name for path in (settings.data_dir / DIRECTORY).iterdir()] == ["lock"]


async def test_killed_after_an_insert_the_same_bytes_are_sent_again(
    do_import, write, warehouse, codes, clickhouse_url, small_batches, monkeypatch
):
    path = write([row(number) for number in range(25)])
    load = Loader.load
    sent = []

    async def load_and_die(self, header, body):
        sent.append((header.token, body))
        await load(self, header, body)
        raise Killed

    async def load_and_note(self, header, body):
        sent.append((header.token, body))
        await load(self, header, body)

    monkeypatch.setattr(Loader, "load", load_and_die)
    with pytest.raises(Killed):
        await do_import(path)
    monkeypatch.setattr(Loader, "load", load_and_note)
    assert (await do_import(path)).resumed
    assert sent[0] == sent[1]
    await holds_once(warehouse, clickhouse_url, 25)


async def test_an_import_that_was_begun_is_finished_before_another_adds_the_same_rows(
    do_import, write, warehouse, codes, clickhouse_url, small_batches, monkeypatch
):
    first = write([row(number) for number in range(25)])
    with monkeypatch.context() as patch:
        patch.setattr(load_module.BatchLoader, "_load", _die)
        with pytest.raises(Killed):
            await do_import(first)
    summary = await do_import(write([row(number) for number in range(20, 30)], "second.csv"))
    assert (summary.imported, summary.known, summary.resumed) == (5, 5, False)
    await holds_once(warehouse, clickhouse_url, 30)


async def test_a_clickhouse_that_is_away_is_tried_again_and_then_left_to_the_next_run(
    do_import, write, warehouse, codes, clickhouse_url, monkeypatch
):
    path = write([row(1)])
    monkeypatch.setattr(load_module, "PAUSES_S", (0.0, 0.0))
    tries = []

    async def fail(self: Loader, *batch: object) -> None:
        tries.append(batch)
        raise StoreUnavailable("away")

    with monkeypatch.context() as patch:
        patch.setattr(Loader, "load", fail)
        with pytest.raises(StoreUnavailable):
            await do_import(path)
    assert len(tries) == 3
    assert (await do_import(path)).resumed
    await holds_once(warehouse, clickhouse_url, 1)


async def test_a_refused_batch_is_kept_the_others_go_on_and_the_file_brings_its_rows_again(
    do_import, write, warehouse, codes, clickhouse_url, settings, small_batches, monkeypatch
):
    load = Loader.load

    async def refuse_the_first(self, header, body):
        if header.segment == 1:
            raise StoreRejected("bad")
        await load(self, header, body)

    path = write([row(number) for number in range(25)])
    with monkeypatch.context() as patch:
        patch.setattr(Loader, "load", refuse_the_first)
        summary = await do_import(path)
    assert (summary.imported, summary.refused) == (15, 10)
    assert (await do_import(path)).imported == 10
    assert len(list((settings.data_dir / DIRECTORY).glob("*/*.parked"))) == 1
    await holds_once(warehouse, clickhouse_url, 25)


async def test_a_second_import_at_once_is_refused(do_import, write, codes, settings, monkeypatch):
    refused = []

    async def import_another(self, *arguments):
        with pytest.raises(ImportRefused, match="another import is running"):
            await do_import(write([row(2)], "other.csv"))
        refused.append(True)
        raise Killed

    monkeypatch.setattr(plan_module.Planner, "plan", import_another)
    with pytest.raises(Killed):
        await do_import(write([row(1)]))
    assert refused


async def test_killed_for_real_at_random_moments_every_row_is_there_once(
    write, warehouse, codes, clickhouse_url, settings, tmp_path
):
    rows = 20_000
    path = write([row(number, month=1 + number % 4) for number in range(rows)])
    command = [sys.executable, "-m", "scanhop", "import", "scans", str(path)]
    env = os.environ | {
        "SCANHOP_POSTGRES_DSN": str(settings.postgres_dsn),
        "SCANHOP_CLICKHOUSE_URL": str(settings.clickhouse_url),
        "SCANHOP_DATA_DIR": str(settings.data_dir),
        "SCANHOP_LOG_LEVEL": "error",
    }

    def run_once(kill_after_s: float | None) -> int:
        process = subprocess.Popen(command, env=env, cwd=tmp_path, stdout=subprocess.DEVNULL)
        try:
            return process.wait(kill_after_s)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            return process.wait()

    random = Random(4)
    assert run_once(random.uniform(0.5, 2)) != 0
    wait_s = 1.0
    codes_seen = []
    while 0 not in codes_seen:
        codes_seen.append(run_once(random.uniform(0.5, 1.0) * wait_s))
        wait_s *= 1.3
    await holds_once(warehouse, clickhouse_url, rows)
    assert run_once(None) == 0
    await holds_once(warehouse, clickhouse_url, rows)


async def _die(*_: object) -> None:
    raise Killed

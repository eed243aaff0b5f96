"""`scanhop reconcile` and `scanhop rebuild-rollups`: their arguments, and how their findings are told."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import fields
from datetime import UTC, date, datetime, timedelta

import orjson
from rich.console import Console
from rich.table import Table

from scanhop.cli.failure import CommandFailed
from scanhop.rollups.day_range import DayRange, last_days
from scanhop.rollups.rebuild import Rebuild, RebuildRefused, Rebuilt, only_rebuild
from scanhop.rollups.reconciliation import DayCounts, Reconciliation, Report
from scanhop.rollups.statements import TIMEOUT_S, Statements
from scanhop.stores.clickhouse import ClickHouse
from scanhop.stores.errors import StoreError

DEFAULT_DAYS = 8
UNAVAILABLE = 3


async def reconcile(clickhouse_url: str, days: DayRange, grace: timedelta) -> Report:
    """Raises CommandFailed with code UNAVAILABLE."""
    async with _statements(clickhouse_url) as statements:
        return await Reconciliation(statements, grace).run(days, datetime.now(UTC))


async def rebuild(postgres_dsn: str, clickhouse_url: str, days: DayRange) -> Rebuilt:
    """Raises CommandFailed."""
    async with _statements(clickhouse_url) as statements:
        try:
            async with only_rebuild(postgres_dsn) as still_alone:
                return await Rebuild(statements, still_alone).run(days, datetime.now(UTC))
        except RebuildRefused as error:
            raise CommandFailed(str(error), 2) from error


def parse_days(first: str | None, end: str | None) -> DayRange:
    """Half-open, as everywhere; what is not said: the last DEFAULT_DAYS, with today. Raises CommandFailed."""
    usual = last_days(DEFAULT_DAYS, datetime.now(UTC))
    last = usual.end if end is None else _parse_day("--to", end)
    days = DayRange(min(usual.first, last - timedelta(1)) if first is None else _parse_day("--from", first), last)
    if days.first >= days.end:
        raise CommandFailed("--from must be before --to, which is the first day that is left out", 2)
    return days


def report_json(report: Report) -> str:
    said = {"agrees": report.agrees, "days": report.days, "differences": report.differences}
    said |= {"unsettled_codes": report.unsettled, "is_cut": report.is_cut}
    return orjson.dumps(said, option=orjson.OPT_INDENT_2).decode()


def print_report(report: Report) -> None:
    console = Console()
    table = Table(box=None)
    for column in fields(DayCounts):
        table.add_column(column.name.replace("_", " "), justify="right")
    for day in report.days:
        table.add_row(*(str(getattr(day, column.name)) for column in fields(DayCounts)))
    console.print(table)
    for difference in report.differences:
        console.print(str(difference), style="red", highlight=False, soft_wrap=True)
    for told in _remarks(report):
        console.print(told)


def _remarks(report: Report) -> list[str]:
    told = ["all agrees" if report.agrees else f"{len(report.differences)} difference(s)"]
    if report.is_cut:
        told.append("there are more than are told here")
    if report.unsettled:
        told.append(f"{report.unsettled} code(s) had scans under way at every look: not judged")
    return told


@asynccontextmanager
async def _statements(clickhouse_url: str) -> AsyncIterator[Statements]:
    clickhouse = ClickHouse(clickhouse_url, timeout_s=TIMEOUT_S)
    try:
        yield Statements(clickhouse)
    except StoreError as error:
        raise CommandFailed(str(error), UNAVAILABLE) from error
    finally:
        await clickhouse.close()


def _parse_day(option: str, text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise CommandFailed(f"{option} must be a UTC day such as 2026-11-01", 2) from None

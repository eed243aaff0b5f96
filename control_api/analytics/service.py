"""Reports on the scans of a workspace: overview, over time, by dimension, by code, per day; and of the platform."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Protocol
from uuid import UUID

from control_api.analytics import reports
from control_api.analytics.model import Bucket, Period, Share
from control_api.analytics.period import (
    dates_of,
    hour_phase_s,
    hours_of,
    previous_period,
    whole_utc_days,
)
from control_api.analytics.question import Statement
from control_api.analytics.scan_set import ScanSet
from control_api.analytics.scan_store import ScanStore
from control_api.analytics.series import fill_series
from control_api.web.moment import start_of_date
from scanhop.wire.ids import WorkspaceId

MAX_SHARES = 300
CODE_DIMENSIONS = ("country", "device", "os", "browser")
TOP_DIMENSIONS = ("country", "city", "device", "os", "browser", "referer_host", "language")


class NamedCode(Protocol):
    """What a code is called."""

    @property
    def name(self) -> str: ...
    @property
    def short_code(self) -> str: ...
    @property
    def status(self) -> str: ...


class CodeNames(Protocol):
    """What analytics asks of the domain of codes."""

    async def describe(self, workspace_id: WorkspaceId, ids: Sequence[UUID]) -> Mapping[UUID, NamedCode]: ...

    async def list_ids_with_tag(self, workspace_id: WorkspaceId, tag: str) -> Sequence[UUID]: ...

    async def count_created(
        self, workspace_id: WorkspaceId, start: datetime, end: datetime, timezone: str
    ) -> Mapping[date, int]: ...


@dataclass(frozen=True)
class Totals:
    period: Period
    scans: int
    visitors: int
    scanned_codes: int


@dataclass(frozen=True)
class Overview:
    """`tops`: by dimension, the largest first. `previous`: of the period before, where it was asked for."""

    totals: Totals
    tops: Mapping[str, Sequence[Share]]
    previous: Totals | None


@dataclass(frozen=True)
class CodeCounts:
    """Of one code. `shares`: by each of CODE_DIMENSIONS, the largest first."""

    totals: Totals
    series: Sequence[Bucket]
    shares: Mapping[str, Sequence[Share]]


@dataclass(frozen=True)
class Breakdown:
    shares: Sequence[Share]
    total_scans: int


@dataclass(frozen=True)
class SplitSeries:
    """The scans of one value over time; `value` None: all other values."""

    value: str | None
    counts: Sequence[int]


@dataclass(frozen=True)
class Timeseries:
    totals: Totals
    series: Sequence[Bucket]
    splits: Sequence[SplitSeries]
    previous: tuple[Totals, Sequence[Bucket]] | None


@dataclass(frozen=True)
class TopCode:
    """`code` None: nothing is known of it (scans of unknown codes have none)."""

    qr_id: UUID
    scans: int
    code: NamedCode | None


@dataclass(frozen=True)
class UsedDay:
    day: date
    scans: int
    visitors: int
    qr_codes_created: int


class Reports:
    """Raises Problem, StoreUnavailable."""

    def __init__(self, store: ScanStore, codes: CodeNames) -> None:
        self._store = store
        self._codes = codes

    async def overview(self, scans: ScanSet, period: Period, *, top: int, compare: bool) -> Overview:
        before = previous_period(period) if compare else None
        totals, tops, previous = await asyncio.gather(
            self._totals(scans, period),
            self._shares(scans, TOP_DIMENSIONS, top),
            _none() if before is None else self._totals(scans.during(before), before),
        )
        return Overview(totals, tops, previous)

    async def count_code(self, scans: ScanSet, period: Period) -> CodeCounts:
        (totals, series), shares = await asyncio.gather(
            self._series(scans, period), self._shares(scans, CODE_DIMENSIONS, MAX_SHARES)
        )
        return CodeCounts(totals, series, shares)

    async def timeseries(
        self, scans: ScanSet, period: Period, *, group_by: str | None, top: int, compare: bool
    ) -> Timeseries:
        before = previous_period(period) if compare else None
        (totals, series), splits, previous = await asyncio.gather(
            self._series(scans, period),
            self._splits(scans, period, group_by, top),
            _none() if before is None else self._series(scans.during(before), before),
        )
        return Timeseries(totals, series, splits, previous)

    async def breakdown(self, scans: ScanSet, period: Period, dimension: str, limit: int) -> Breakdown:
        days = whole_utc_days(period) if reports.is_rolled_up(scans, dimension) else None
        if days is None:
            statement = reports.breakdown_statement(scans, dimension, limit)
        else:
            statement = reports.rolled_up_statement(scans, days, dimension, limit)
        rows = await self._rows(statement)
        return Breakdown([Share(value, counted) for value, counted, _ in rows], rows[0][2] if rows else 0)

    async def top_codes(self, scans: ScanSet, period: Period, limit: int) -> tuple[Sequence[TopCode], int]:
        """(the codes, scans of all codes)."""
        found = await self.breakdown(scans, period, "code", limit)
        counted = [(UUID(share.value), share.scans) for share in found.shares]
        names = await self._codes.describe(scans.workspace_id, [qr_id for qr_id, _ in counted])
        return [TopCode(qr_id, count, names.get(qr_id)) for qr_id, count in counted], found.total_scans

    async def daily_usage(self, scans: ScanSet, period: Period) -> Sequence[UsedDay]:
        (_, series), created = await asyncio.gather(
            self._series(scans, period),
            self._codes.count_created(scans.workspace_id, period.start, period.end, period.zone.key),
        )
        days = dates_of(period)
        return [
            UsedDay(day, bucket.scans, bucket.visitors, created.get(day, 0))
            for day, bucket in zip(days, series, strict=True)
        ]

    async def _shares(self, scans: ScanSet, dimensions: tuple[str, ...], limit: int) -> Mapping[str, Sequence[Share]]:
        found: dict[str, list[Share]] = {dimension: [] for dimension in dimensions}
        for dimension, value, counted in await self._rows(reports.breakdowns_statement(scans, dimensions, limit)):
            found[dimension].append(Share(value, counted))
        return found

    async def _totals(self, scans: ScanSet, period: Period) -> Totals:
        [(counted, visitors, codes)] = await self._rows(reports.total_statement(scans))
        return Totals(period, counted, visitors, codes)

    async def _series(self, scans: ScanSet, period: Period) -> tuple[Totals, Sequence[Bucket]]:
        """The totals know of no codes."""
        statement = reports.series_statement(scans, period.granularity, period.zone.key, hour_phase_s(period))
        rows = await self._rows(statement)
        buckets = {_start(at): (s, v) for is_total, at, s, v in rows if not is_total}
        added_up = (sum(s for s, _ in buckets.values()), sum(v for _, v in buckets.values()))
        counted, visitors = next(((s, v) for is_total, _, s, v in rows if is_total), added_up)
        return Totals(period, counted, visitors, 0), _filled(period, buckets)

    async def _splits(self, scans: ScanSet, period: Period, dimension: str | None, top: int) -> Sequence[SplitSeries]:
        if dimension is None:
            return []
        shares = (await self.breakdown(scans, period, dimension, top)).shares
        values = [share.value for share in shares]
        rows = await self._rows(
            reports.split_series_statement(
                scans, period.granularity, period.zone.key, hour_phase_s(period), dimension, values
            )
        )
        found: dict[str | None, dict[Any, tuple[int, int]]] = {value: {} for value in [*values, None]}
        for is_named, value, at, counted in rows:
            found[value if is_named else None][_start(at)] = (counted, 0)
        return [
            SplitSeries(value, [bucket.scans for bucket in _filled(period, counts)])
            for value, counts in found.items()
        ]

    async def _rows(self, statement: Statement) -> Sequence[Any]:
        return await self._store.list_rows(statement.sql, statement.parameters)


async def _none() -> None:
    return None


def _start(at: int | date) -> datetime | date:
    return datetime.fromtimestamp(at, UTC) if isinstance(at, int) else at


def _filled(period: Period, counts: Mapping[Any, tuple[int, int]]) -> list[Bucket]:
    if period.granularity == "hour":
        hours = hours_of(period)
        return fill_series([hour.astimezone(period.zone) for hour in hours], hours, counts)
    dates = dates_of(period)
    return fill_series([start_of_date(day, period.zone) for day in dates], dates, counts)

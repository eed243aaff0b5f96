"""Reports as JSON."""

from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from control_api.analytics.model import UNIQUE_DEFINITION, Granularity, Period
from control_api.analytics.schemas import BucketAnswer, ShareAnswer, Zoned
from control_api.analytics.service import Breakdown, Overview, Timeseries, TopCode, Totals, UsedDay


class PeriodAnswer(BaseModel):
    """What every report says of its period."""

    start: datetime = Field(serialization_alias="from")
    end: datetime = Field(serialization_alias="to", description="The first moment after the period")
    timezone: str


def _period(period: Period) -> dict[str, Any]:
    return {
        "start": period.start.astimezone(UTC),
        "end": period.end.astimezone(UTC),
        "timezone": period.zone.key,
    }


class PreviousAnswer(PeriodAnswer):
    """The period before, as long as the one asked about."""

    total_scans: int
    unique_visitors: int
    scans_change: float | None = Field(description="0.25: a quarter more than then. null: there were none then")
    visitors_change: float | None

    @classmethod
    def of(cls, previous: Totals, now: Totals) -> "PreviousAnswer":
        return cls(
            **_period(previous.period),
            total_scans=previous.scans,
            unique_visitors=previous.visitors,
            scans_change=_change(previous.scans, now.scans),
            visitors_change=_change(previous.visitors, now.visitors),
        )


def _change(before: int, now: int) -> float | None:
    return None if before == 0 else round((now - before) / before, 4)


class OverviewAnswer(PeriodAnswer):
    """Counted scans in all, and the largest values of some dimensions."""

    total_scans: int
    unique_visitors: int
    unique_definition: str = UNIQUE_DEFINITION
    scanned_codes: int = Field(description="How many codes were scanned at all")
    top: dict[str, list[ShareAnswer]] = Field(description="By dimension, the largest first")
    previous: PreviousAnswer | None

    @classmethod
    def of(cls, overview: Overview) -> "OverviewAnswer":
        totals = overview.totals
        return cls(
            **_period(totals.period),
            total_scans=totals.scans,
            unique_visitors=totals.visitors,
            scanned_codes=totals.scanned_codes,
            top={name: [ShareAnswer.of(each) for each in shares] for name, shares in overview.tops.items()},
            previous=None if overview.previous is None else PreviousAnswer.of(overview.previous, totals),
        )


class SplitAnswer(BaseModel):
    """One value over time."""

    value: str | None = Field(description="null: all other values; empty: unknown")
    scans: list[int] = Field(description="One figure for each bucket of `series`")


class PreviousSeriesAnswer(PreviousAnswer):
    """... bucket by bucket; there may be one more or less than in `series`."""

    series: list[BucketAnswer]


class TimeseriesAnswer(PeriodAnswer):
    """Counted scans over time, without gaps: what has no scans has a 0."""

    granularity: Granularity
    total_scans: int
    unique_visitors: int
    unique_definition: str = UNIQUE_DEFINITION
    series: list[BucketAnswer]
    groups: list[SplitAnswer] = Field(description="Of `group_by`: the largest values, then all others as one")
    previous: PreviousSeriesAnswer | None

    @classmethod
    def of(cls, found: Timeseries) -> "TimeseriesAnswer":
        totals = found.totals
        previous = None
        if found.previous is not None:
            then, series = found.previous
            figures = PreviousAnswer.of(then, totals).model_dump()
            previous = PreviousSeriesAnswer(**figures, series=[BucketAnswer.of(each) for each in series])
        return cls(
            **_period(totals.period),
            granularity=totals.period.granularity,
            total_scans=totals.scans,
            unique_visitors=totals.visitors,
            series=[BucketAnswer.of(each) for each in found.series],
            groups=[SplitAnswer(value=each.value, scans=list(each.counts)) for each in found.splits],
            previous=previous,
        )


class BreakdownAnswer(PeriodAnswer):
    """Counted scans by the values of a dimension, the largest first."""

    group_by: str
    data: list[ShareAnswer]
    total_scans: int
    other_scans: int = Field(description="Of the values that are not listed")

    @classmethod
    def of(cls, period: Period, dimension: str, found: Breakdown) -> "BreakdownAnswer":
        listed = sum(share.scans for share in found.shares)
        return cls(
            **_period(period),
            group_by=dimension,
            data=[ShareAnswer.of(share) for share in found.shares],
            total_scans=found.total_scans,
            other_scans=found.total_scans - listed,
        )


class TopCodeAnswer(BaseModel):
    """A code and its scans."""

    qr_id: UUID
    name: str | None = Field(description="null: there is no such code in the workspace")
    short_code: str | None
    status: str | None = Field(description="`deleted` codes are listed, too")
    scans: int

    @classmethod
    def of(cls, top: TopCode) -> "TopCodeAnswer":
        code = top.code
        known = (None, None, None) if code is None else (code.name, code.short_code, code.status)
        return cls(qr_id=top.qr_id, name=known[0], short_code=known[1], status=known[2], scans=top.scans)


class TopCodesAnswer(PeriodAnswer):
    """The codes with the most counted scans."""

    data: list[TopCodeAnswer]
    total_scans: int

    @classmethod
    def of(cls, period: Period, codes: list[TopCode], total: int) -> "TopCodesAnswer":
        return cls(**_period(period), data=[TopCodeAnswer.of(each) for each in codes], total_scans=total)


class UsedDayAnswer(BaseModel):
    """One day of the time zone."""

    model_config = ConfigDict(from_attributes=True)

    day: date = Field(serialization_alias="date")
    scans: int
    visitors: int
    qr_codes_created: int


class DailyUsageAnswer(PeriodAnswer):
    """What a workspace did day by day, without gaps."""

    data: list[UsedDayAnswer]
    total_scans: int
    qr_codes_created: int
    unique_definition: str = UNIQUE_DEFINITION

    @classmethod
    def of(cls, period: Period, days: list[UsedDay]) -> "DailyUsageAnswer":
        return cls(
            **_period(period),
            data=[UsedDayAnswer.model_validate(day) for day in days],
            total_scans=sum(day.scans for day in days),
            qr_codes_created=sum(day.qr_codes_created for day in days),
        )


class ScanPeriodsAnswer(BaseModel):
    """Counted scans of UTC days."""

    model_config = ConfigDict(from_attributes=True)

    today: int
    last_7_days: int
    last_30_days: int


class BusyWorkspaceAnswer(BaseModel):
    """One of those with the most scans in 30 days."""

    model_config = ConfigDict(from_attributes=True)

    workspace_id: UUID
    name: str | None
    scans: ScanPeriodsAnswer


class PlatformAnswer(BaseModel):
    """The platform at a glance."""

    model_config = ConfigDict(from_attributes=True)

    users: int
    workspaces: int
    qr_codes: dict[str, int] = Field(description="By status")
    scans: ScanPeriodsAnswer
    top_workspaces: list[BusyWorkspaceAnswer]
    newest_batch_at: Zoned | None = Field(description="When the last accepted batch of scans was made")

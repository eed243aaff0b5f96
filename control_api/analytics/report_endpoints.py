"""/v1/analytics/overview, /timeseries, /breakdown, /top-codes; /v1/stats/daily-usage; /v1/admin/stats/overview."""

from datetime import timedelta
from enum import Enum
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Request
from pydantic import Field

from control_api.analytics.conditions import MAX_TEXT, Condition, InvalidCondition, one_of, parse_condition
from control_api.analytics.endpoints import AskedReports, PeriodQuery
from control_api.analytics.model import Period
from control_api.analytics.period import InvalidPeriod, parse_period
from control_api.analytics.platform import Platform
from control_api.analytics.report_schemas import (
    BreakdownAnswer,
    DailyUsageAnswer,
    OverviewAnswer,
    PlatformAnswer,
    TimeseriesAnswer,
    TopCodesAnswer,
)
from control_api.analytics.reports import DIMENSIONS
from control_api.analytics.scan_set import ScanSet
from control_api.analytics.service import CodeNames
from control_api.identity.service import Workspaces
from control_api.web.authentication import ADMIN_PROBLEMS, MEMBER_PROBLEMS, Member, requires, requires_admin
from control_api.web.guarded_route import GuardedRoute
from control_api.web.moment import BoundText
from control_api.web.problem import invalid_parameter, problem_responses
from control_api.web.problem_catalogue import ProblemKind
from control_api.web.text import Line

router = APIRouter(route_class=GuardedRoute, tags=["analytics"])
Reader = Annotated[Member, requires("analytics:read")]
Dimension = Enum("Dimension", {name.upper(): name for name in DIMENSIONS}, type=str)  # type: ignore[misc]
_UUID = "[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"
_NO_NUL = Field(json_schema_extra={"pattern": r"^[^\x00]*$"})
_SEVERAL = Query(max_length=10_000, description="One value, or several with commas between")
Text = Annotated[Annotated[str, _NO_NUL] | None, Query(max_length=MAX_TEXT)]
Listed = Annotated[Annotated[str, _NO_NUL] | None, _SEVERAL]
ListedIds = Annotated[Annotated[str, Field(json_schema_extra={"pattern": f"^{_UUID}(,{_UUID})*$"})] | None, _SEVERAL]
Compare = Annotated[Literal["previous"] | None, Query(description="Beside it, the period of equal length before")]

_PROBLEMS = problem_responses(
    *MEMBER_PROBLEMS,
    ProblemKind.INVALID_PARAMETERS,
    ProblemKind.QUERY_TOO_EXPENSIVE,
    ProblemKind.STORE_UNAVAILABLE,
)
_LISTS = {
    "qr_id": "qr_id",
    "project_id": "project_id",
    "domain_id": "domain_id",
    "country": "country",
    "device": "device_type",
    "language": "language",
    "outcome": "outcome",
}
_SINGLE = {
    "region": "region",
    "city": "city",
    "os": "os",
    "browser": "browser",
    "referer": "referer",
    "rule": "rule_id",
    "variant": "variant",
}


class FilterQuery:
    """The query parameters that leave scans out; an empty value means unknown."""

    def __init__(  # noqa: PLR0913 - FastAPI hands over each by name
        self,
        qr_id: ListedIds = None,
        project_id: ListedIds = None,
        domain_id: ListedIds = None,
        tag: Annotated[Line | None, Query(description="Of codes that have it now")] = None,
        country: Listed = None,
        region: Text = None,
        city: Text = None,
        device: Listed = None,
        os: Text = None,
        browser: Text = None,
        language: Listed = None,
        referer: Text = None,
        rule: Text = None,
        variant: Text = None,
        outcome: Listed = None,
    ) -> None:
        given = dict(locals())
        self.tag = tag
        self._given = {name: given[name] for name in (*_LISTS, *_SINGLE) if given[name] is not None}

    def conditions(self) -> list[Condition]:
        """Raises Problem."""
        return [_condition(name, text) for name, text in self._given.items()]


def _condition(name: str, text: str) -> Condition:
    try:
        if name in _LISTS:
            return parse_condition(_LISTS[name], "in", text.split(","))
        return parse_condition(_SINGLE[name], "eq", text)
    except InvalidCondition as error:
        raise invalid_parameter(name, str(error)) from None


class _Asked:
    """What scans a report is about."""

    def __init__(self, scans: ScanSet, period: Period) -> None:
        self.scans = scans
        self.period = period


async def _asked(
    request: Request,
    caller: Reader,
    asked: Annotated[PeriodQuery, Depends()],
    filters: Annotated[FilterQuery, Depends()],
) -> _Asked:
    state = request.app.state
    workspaces: Workspaces = state.workspaces
    names: CodeNames = state.code_names
    conditions = filters.conditions()
    zone = asked.timezone or (await workspaces.get(caller.workspace_id)).timezone
    period = asked.period(zone, state.clock())
    if filters.tag is not None:
        ids = await names.list_ids_with_tag(caller.workspace_id, filters.tag)
        conditions.append(one_of("qr_id", [str(each) for each in ids]))
    scans = ScanSet(caller.workspace_id, period.start, period.end, tuple(conditions), asked.include_bots)
    return _Asked(scans.naming(()), period)


Asked = Annotated[_Asked, Depends(_asked)]


@router.get("/v1/analytics/overview", summary="See the scans of a workspace at a glance", responses=_PROBLEMS)
async def get_overview(
    caller: Reader,
    asked: Asked,
    reports: AskedReports,
    top: Annotated[int, Query(ge=1, le=50, description="How many values of each dimension")] = 5,
    compare: Compare = None,
) -> OverviewAnswer:
    """In all, and the largest values of some dimensions."""
    found = await reports.overview(asked.scans, asked.period, top=top, compare=compare is not None)
    return OverviewAnswer.of(found)


@router.get("/v1/analytics/timeseries", summary="Count the scans of a workspace over time", responses=_PROBLEMS)
async def get_timeseries(  # noqa: PLR0913 - FastAPI hands over each by name
    caller: Reader,
    asked: Asked,
    reports: AskedReports,
    group_by: Annotated[Dimension | None, Query(description="Splits each bucket by the largest values")] = None,
    top: Annotated[int, Query(ge=1, le=20, description="How many values of `group_by`")] = 5,
    compare: Compare = None,
) -> TimeseriesAnswer:
    """By hour, day, week or month; with `group_by`, also by the largest values of a dimension."""
    dimension = None if group_by is None else str(group_by.value)
    scans = asked.scans if dimension is None else asked.scans.naming([dimension])
    found = await reports.timeseries(scans, asked.period, group_by=dimension, top=top, compare=compare is not None)
    return TimeseriesAnswer.of(found)


@router.get("/v1/analytics/breakdown", summary="Count scans by a dimension", responses=_PROBLEMS)
async def get_breakdown(
    caller: Reader,
    asked: Asked,
    reports: AskedReports,
    group_by: Annotated[Dimension, Query(description="Outcome counts all outcomes; bot_reason bots, too")],
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
) -> BreakdownAnswer:
    """The largest values first; of the others, how many scans they have together."""
    name = str(group_by.value)
    found = await reports.breakdown(asked.scans.naming([name]), asked.period, name, limit)
    return BreakdownAnswer.of(asked.period, name, found)


@router.get("/v1/analytics/top-codes", summary="List the codes with the most scans", responses=_PROBLEMS)
async def list_top_codes(
    caller: Reader, asked: Asked, reports: AskedReports, limit: Annotated[int, Query(ge=1, le=200)] = 10
) -> TopCodesAnswer:
    """Deleted codes are among them: their scans are still counted."""
    codes, total = await reports.top_codes(asked.scans, asked.period, limit)
    return TopCodesAnswer.of(asked.period, list(codes), total)


@router.get("/v1/stats/daily-usage", summary="See what a workspace did day by day", responses=_PROBLEMS)
async def get_daily_usage(  # noqa: PLR0913 - FastAPI hands over each by name
    caller: Reader,
    request: Request,
    reports: AskedReports,
    start: Annotated[BoundText | None, Query(alias="from", description="Default: 29 days before today")] = None,
    end: Annotated[BoundText | None, Query(alias="to", description="Itself left out; default: now")] = None,
    timezone: Annotated[str | None, Query(description="IANA name; default: the workspace's")] = None,
) -> DailyUsageAnswer:
    """Counted scans, visitors, and QR codes made, for each day of the time zone."""
    state = request.app.state
    workspaces: Workspaces = state.workspaces
    zone = timezone or (await workspaces.get(caller.workspace_id)).timezone
    try:
        period = parse_period(start, end, zone, "day", state.clock())
        if start is None:
            first = (period.end.astimezone(period.zone) - timedelta(days=29)).date()
            period = parse_period(first.isoformat(), end, zone, "day", state.clock())
    except InvalidPeriod as error:
        raise invalid_parameter(error.name, str(error)) from None
    days = await reports.daily_usage(ScanSet(caller.workspace_id, period.start, period.end), period)
    return DailyUsageAnswer.of(period, list(days))


@router.get(
    "/v1/admin/stats/overview",
    summary="See the platform at a glance",
    responses=problem_responses(*ADMIN_PROBLEMS, ProblemKind.STORE_UNAVAILABLE),
)
async def get_platform_overview(_caller: Annotated[object, requires_admin()], request: Request) -> PlatformAnswer:
    """Users, workspaces, codes by status, scans of the last UTC days."""
    platform: Platform = request.app.state.platform
    return PlatformAnswer.model_validate(await platform.overview())

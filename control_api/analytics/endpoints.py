"""/v1/qr-codes/{id}/analytics."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request
from pydantic import Field

from control_api.analytics.model import Granularity
from control_api.analytics.period import MOMENT_PATTERN, InvalidPeriod, parse_period
from control_api.analytics.schemas import QrCodeAnalytics
from control_api.analytics.service import Analytics, CodeDirectory
from control_api.identity.service import Workspaces
from control_api.web.authentication import MEMBER_PROBLEMS, Member, requires
from control_api.web.guarded_route import GuardedRoute
from control_api.web.problem import invalid_parameter, problem_responses
from control_api.web.problem_catalogue import ProblemKind

router = APIRouter(route_class=GuardedRoute, tags=["analytics"])
Reader = Annotated[Member, requires("analytics:read")]
_MOMENT = "A date, read in `timezone`, or an RFC 3339 time"
AskedMoment = Annotated[str, Field(json_schema_extra={"pattern": MOMENT_PATTERN}, examples=["2026-11-01"])]


def _analytics(request: Request) -> Analytics:
    analytics: Analytics = request.app.state.analytics
    return analytics


def _codes(request: Request) -> CodeDirectory:
    codes: CodeDirectory = request.app.state.qr_codes
    return codes


def _workspaces(request: Request) -> Workspaces:
    workspaces: Workspaces = request.app.state.workspaces
    return workspaces


class PeriodQuery:
    """The query parameters that say which scans are meant."""

    def __init__(
        self,
        start: Annotated[
            AskedMoment | None, Query(alias="from", description=f"{_MOMENT}; default: 30 days earlier")
        ] = None,
        end: Annotated[
            AskedMoment | None, Query(alias="to", description=f"{_MOMENT}, itself left out; default: now")
        ] = None,
        timezone: Annotated[str | None, Query(description="IANA name; default: the workspace's")] = None,
        granularity: Annotated[Granularity, Query(description="What a bucket of the series is")] = "day",
        include_bots: Annotated[bool, Query(description="Count redirects of bots, too")] = False,
    ) -> None:
        self.start = start
        self.end = end
        self.timezone = timezone
        self.granularity = granularity
        self.include_bots = include_bots


@router.get(
    "/v1/qr-codes/{qr_id}/analytics",
    summary="Count the scans of a QR code",
    responses=problem_responses(
        *MEMBER_PROBLEMS,
        ProblemKind.NOT_FOUND,
        ProblemKind.INVALID_PARAMETERS,
        ProblemKind.QUERY_TOO_EXPENSIVE,
        ProblemKind.STORE_UNAVAILABLE,
    ),
)
async def count_scans(  # noqa: PLR0913 - FastAPI hands over each by name
    qr_id: UUID,
    caller: Reader,
    asked: Annotated[PeriodQuery, Depends()],
    request: Request,
    codes: Annotated[CodeDirectory, Depends(_codes)],
    workspaces: Annotated[Workspaces, Depends(_workspaces)],
    analytics: Annotated[Analytics, Depends(_analytics)],
) -> QrCodeAnalytics:
    """In all, over time, and by country, device, operating system and browser."""
    await codes.get(caller.workspace_id, qr_id)
    zone = asked.timezone or (await workspaces.get(caller.workspace_id)).timezone
    try:
        period = parse_period(asked.start, asked.end, zone, asked.granularity, request.app.state.clock())
    except InvalidPeriod as error:
        raise invalid_parameter(error.name, str(error)) from None
    counts = await analytics.count_scans(caller.workspace_id, qr_id, period, include_bots=asked.include_bots)
    return QrCodeAnalytics.of(qr_id, period, counts)

"""/v1/qr-codes/{id}/analytics."""

from datetime import datetime
from typing import Annotated, Protocol
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request

from control_api.analytics.conditions import one_of
from control_api.analytics.model import Granularity, Period
from control_api.analytics.period import InvalidPeriod, parse_period
from control_api.analytics.scan_set import ScanSet
from control_api.analytics.schemas import QrCodeAnalytics
from control_api.analytics.service import Reports
from control_api.identity.service import Workspaces
from control_api.web.authentication import MEMBER_PROBLEMS, Member, requires
from control_api.web.guarded_route import GuardedRoute
from control_api.web.moment import BoundText
from control_api.web.problem import invalid_parameter, problem_responses
from control_api.web.problem_catalogue import ProblemKind
from scanhop.wire.ids import WorkspaceId

router = APIRouter(route_class=GuardedRoute, tags=["analytics"])
Reader = Annotated[Member, requires("analytics:read")]
_MOMENT = "A date, read in `timezone`, or an RFC 3339 time"


class CodeDirectory(Protocol):
    """Knows which codes a workspace has."""

    async def get(self, workspace_id: WorkspaceId, qr_id: UUID) -> object:
        """Raises Problem if it has no such code."""


def _reports(request: Request) -> Reports:
    reports: Reports = request.app.state.reports
    return reports


AskedReports = Annotated[Reports, Depends(_reports)]


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
            BoundText | None, Query(alias="from", description=f"{_MOMENT}; default: 30 days earlier")
        ] = None,
        end: Annotated[
            BoundText | None, Query(alias="to", description=f"{_MOMENT}, itself left out; default: now")
        ] = None,
        timezone: Annotated[str | None, Query(description="IANA name; default: the workspace's")] = None,
        granularity: Annotated[
            Granularity, Query(description="The buckets of a series; a report without one takes it, too")
        ] = "day",
        include_bots: Annotated[bool, Query(description="Count redirects of bots, too")] = False,
    ) -> None:
        self.start = start
        self.end = end
        self.timezone = timezone
        self.granularity = granularity
        self.include_bots = include_bots

    def period(self, zone: str, now: datetime) -> Period:
        """Raises Problem."""
        try:
            return parse_period(self.start, self.end, zone, self.granularity, now)
        except InvalidPeriod as error:
            raise invalid_parameter(error.name, str(error)) from None


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
    reports: AskedReports,
) -> QrCodeAnalytics:
    """In all, over time, and by country, device, operating system and browser."""
    await codes.get(caller.workspace_id, qr_id)
    zone = asked.timezone or (await workspaces.get(caller.workspace_id)).timezone
    period = asked.period(zone, request.app.state.clock())
    only_it = (one_of("qr_id", [str(qr_id)]),)
    scans = ScanSet(caller.workspace_id, period.start, period.end, only_it, asked.include_bots)
    return QrCodeAnalytics.of(qr_id, await reports.count_code(scans, period))

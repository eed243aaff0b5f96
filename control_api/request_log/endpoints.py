"""/v1/logs, /v1/admin/logs and /v1/admin/users/{id}/logs."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request

from control_api.request_log.schemas import AskedFilter, LogPage
from control_api.request_log.service import Logs
from control_api.web.authentication import (
    ADMIN_PROBLEMS,
    MEMBER_PROBLEMS,
    Member,
    PlatformAdmin,
    requires,
    requires_admin,
)
from control_api.web.guarded_route import GuardedRoute
from control_api.web.paging import AskedPage
from control_api.web.problem import problem_responses
from control_api.web.problem_catalogue import ProblemKind

router = APIRouter(route_class=GuardedRoute, tags=["logs"])
Reader = Annotated[Member, requires("logs:read")]
Admin = Annotated[PlatformAdmin, requires_admin()]
_LIST_PROBLEMS = (ProblemKind.BAD_CURSOR, ProblemKind.INVALID_PARAMETERS)


def _logs(request: Request) -> Logs:
    logs: Logs = request.app.state.logs
    return logs


Service = Annotated[Logs, Depends(_logs)]


@router.get(
    "/v1/logs",
    summary="List the requests of the workspace",
    responses=problem_responses(*MEMBER_PROBLEMS, *_LIST_PROBLEMS),
)
async def list_logs(caller: Reader, logs: Service, wanted: AskedFilter, page: AskedPage) -> LogPage:
    """Newest first, of the last 7 days without `from`; a request is listed about a second after its answer, and kept
    for 90 days. Bodies, query strings and addresses are not logged."""
    return LogPage.of(await logs.list(caller, wanted, page))


@router.get(
    "/v1/admin/logs",
    summary="List the requests of everybody",
    responses=problem_responses(*ADMIN_PROBLEMS, *_LIST_PROBLEMS),
)
async def list_all_logs(logs: Service, _admin: Admin, wanted: AskedFilter, page: AskedPage) -> LogPage:
    """Newest first, of the last 7 days without `from`; those without a credential, too."""
    return LogPage.of(await logs.list_all(None, wanted, page))


@router.get(
    "/v1/admin/users/{user_id}/logs",
    summary="List the requests of a user",
    responses=problem_responses(*ADMIN_PROBLEMS, *_LIST_PROBLEMS, ProblemKind.NOT_FOUND),
)
async def list_user_logs(
    user_id: UUID, logs: Service, _admin: Admin, wanted: AskedFilter, page: AskedPage
) -> LogPage:
    """Newest first, in any workspace. Of a user who was deleted, too; empty where there is nothing."""
    return LogPage.of(await logs.list_all(user_id, wanted, page))

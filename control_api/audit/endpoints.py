"""/v1/audit and /v1/admin/audit."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request

from control_api.audit.schemas import AskedFilter, AuditPage
from control_api.audit.service import AuditLog
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

router = APIRouter(route_class=GuardedRoute, tags=["audit"])
Reader = Annotated[Member, requires("audit:read")]
Admin = Annotated[PlatformAdmin, requires_admin()]


def _audit_log(request: Request) -> AuditLog:
    audit_log: AuditLog = request.app.state.audit_log
    return audit_log


Log = Annotated[AuditLog, Depends(_audit_log)]


@router.get(
    "/v1/audit",
    summary="List what was changed in the workspace",
    responses=problem_responses(*MEMBER_PROBLEMS, ProblemKind.BAD_CURSOR, ProblemKind.INVALID_PARAMETERS),
)
async def list_audit(caller: Reader, log: Log, wanted: AskedFilter, page: AskedPage) -> AuditPage:
    """Newest first: who changed what, when and why."""
    return AuditPage.of(await log.list(caller, wanted, page))


@router.get(
    "/v1/admin/audit",
    summary="List what was changed anywhere",
    responses=problem_responses(*ADMIN_PROBLEMS, ProblemKind.BAD_CURSOR, ProblemKind.INVALID_PARAMETERS),
)
async def list_all_audit(
    log: Log,
    _admin: Admin,
    wanted: AskedFilter,
    page: AskedPage,
    workspace_id: Annotated[UUID | None, Query(description="Only in this workspace")] = None,
) -> AuditPage:
    """Newest first, of all workspaces, and what concerns the platform itself."""
    return AuditPage.of(await log.list_all(workspace_id, wanted, page))

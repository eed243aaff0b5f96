"""/v1/qr-codes/{id}/resolve."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request

from control_api.qr_codes.dry_run import DryRun
from control_api.qr_codes.dry_run_schemas import ResolutionAnswer, ScanTold
from control_api.qr_codes.endpoints import Reader
from control_api.web.authentication import MEMBER_PROBLEMS
from control_api.web.guarded_route import BODY_PROBLEMS, GuardedRoute
from control_api.web.problem import problem_responses
from control_api.web.problem_catalogue import ProblemKind

router = APIRouter(route_class=GuardedRoute, tags=["QR codes"])


def _dry_run(request: Request) -> DryRun:
    dry_run: DryRun = request.app.state.dry_run
    return dry_run


@router.post(
    "/v1/qr-codes/{qr_id}/resolve",
    summary="Try a QR code out",
    responses=problem_responses(*MEMBER_PROBLEMS, *BODY_PROBLEMS, ProblemKind.NOT_FOUND),
)
async def resolve_qr_code(
    qr_id: UUID, told: ScanTold, caller: Reader, dry_run: Annotated[DryRun, Depends(_dry_run)]
) -> ResolutionAnswer:
    """What a scan would be answered by which rule, and why; counts nothing. The edge decides by the same code."""
    return ResolutionAnswer.of(await dry_run.resolve(caller.workspace_id, qr_id, told.to_model()))

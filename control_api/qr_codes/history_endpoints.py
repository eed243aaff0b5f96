"""What a code said, and what it is to say: history, rollback, scheduled changes."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response

from control_api.qr_codes.endpoints import PublicUrl, Reader, Writer, author_of
from control_api.qr_codes.history_schemas import (
    RollbackWanted,
    ScheduledChangeAnswer,
    ScheduledChangePage,
    ScheduledChangeWanted,
    VersionPage,
)
from control_api.qr_codes.rollback import CodeHistory
from control_api.qr_codes.scheduling import ScheduledChanges
from control_api.qr_codes.schemas import QrCodeAnswer
from control_api.qr_codes.search_fields import AskedVersionPage
from control_api.web.authentication import MEMBER_PROBLEMS
from control_api.web.guarded_route import BODY_PROBLEMS, GuardedRoute
from control_api.web.paging import AskedPage
from control_api.web.problem import problem_responses
from control_api.web.problem_catalogue import ProblemKind
from control_api.web.versions import IfMatch, etag

router = APIRouter(route_class=GuardedRoute, tags=["QR codes"])

_LIST_PROBLEMS = problem_responses(
    *MEMBER_PROBLEMS, ProblemKind.BAD_CURSOR, ProblemKind.INVALID_PARAMETERS, ProblemKind.NOT_FOUND
)


def _history(request: Request) -> CodeHistory:
    history: CodeHistory = request.app.state.code_history
    return history


def _scheduled(request: Request) -> ScheduledChanges:
    scheduled: ScheduledChanges = request.app.state.scheduled_changes
    return scheduled


History = Annotated[CodeHistory, Depends(_history)]
Scheduled = Annotated[ScheduledChanges, Depends(_scheduled)]


@router.get("/v1/qr-codes/{qr_id}/history", summary="List the versions of a QR code", responses=_LIST_PROBLEMS)
async def list_qr_code_versions(qr_id: UUID, caller: Reader, history: History, page: AskedVersionPage) -> VersionPage:
    """Newest first: who changed what, when and why. Of a deleted code too."""
    return VersionPage.of(await history.list_versions(caller.workspace_id, qr_id, page))


@router.post(
    "/v1/qr-codes/{qr_id}/rollback",
    summary="Roll a QR code back",
    responses=problem_responses(*MEMBER_PROBLEMS, *BODY_PROBLEMS, ProblemKind.NOT_FOUND, ProblemKind.STALE_VERSION),
)
async def roll_back_qr_code(  # noqa: PLR0913 - FastAPI hands over each by name
    qr_id: UUID,
    wanted: RollbackWanted,
    caller: Writer,
    history: History,
    public_url: PublicUrl,
    response: Response,
    if_match: IfMatch = None,
) -> QrCodeAnswer:
    """A new version that says what the old one said. Status, project and password stay as they are."""
    code = await history.roll_back(author_of(caller), qr_id, wanted.version, if_match, wanted.reason)
    response.headers["ETag"] = etag(code.version)
    return QrCodeAnswer.of(code, public_url)


@router.post(
    "/v1/qr-codes/{qr_id}/scheduled-changes",
    summary="Schedule a change of a QR code",
    status_code=201,
    responses=problem_responses(
        *MEMBER_PROBLEMS,
        *BODY_PROBLEMS,
        ProblemKind.NOT_FOUND,
        ProblemKind.CODE_BANNED,
        ProblemKind.TOO_MANY_SCHEDULED,
        ProblemKind.PASSWORDS_BUSY,
    ),
)
async def schedule_qr_code_change(
    qr_id: UUID, wanted: ScheduledChangeWanted, caller: Writer, scheduled: Scheduled
) -> ScheduledChangeAnswer:
    """It happens within about a second of its time, and once. What cannot be applied then is marked failed."""
    change = wanted.change.to_model()
    return ScheduledChangeAnswer.of(
        await scheduled.schedule(author_of(caller), qr_id, wanted.at, change, wanted.reason)
    )


@router.get(
    "/v1/qr-codes/{qr_id}/scheduled-changes",
    summary="List the scheduled changes of a QR code",
    responses=_LIST_PROBLEMS,
)
async def list_scheduled_qr_code_changes(
    qr_id: UUID, caller: Reader, scheduled: Scheduled, page: AskedPage
) -> ScheduledChangePage:
    """Pending, applied, failed and cancelled; the one that is to happen last first. Of a deleted code too."""
    return ScheduledChangePage.of(await scheduled.list(caller.workspace_id, qr_id, page))


@router.delete(
    "/v1/qr-codes/{qr_id}/scheduled-changes/{change_id}",
    summary="Cancel a scheduled change of a QR code",
    responses=problem_responses(*MEMBER_PROBLEMS, ProblemKind.NOT_FOUND, ProblemKind.CHANGE_SETTLED),
)
async def cancel_scheduled_qr_code_change(
    qr_id: UUID, change_id: UUID, caller: Writer, scheduled: Scheduled
) -> ScheduledChangeAnswer:
    """It stays in the list, as cancelled."""
    return ScheduledChangeAnswer.of(await scheduled.cancel(author_of(caller), qr_id, change_id))

"""/v1/qr-codes: create, read, list, change, and the states a code can be in; /v1/tags."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response

from control_api.credits.charging import Effect, costs
from control_api.qr_codes.change_code import CodeChanges
from control_api.qr_codes.create_code import CodeCreation
from control_api.qr_codes.model import ACTIVE, ARCHIVED, DELETED, PAUSED, Author, Change, Edit, QrCode
from control_api.qr_codes.schemas import (
    QrCodeAnswer,
    QrCodeChange,
    QrCodePage,
    QrCodeWanted,
    TagPage,
)
from control_api.qr_codes.search_fields import AskedSearch, AskedSortedPage, AskedTagPage
from control_api.qr_codes.service import QrCodes
from control_api.web.authentication import MEMBER_PROBLEMS, Member, requires
from control_api.web.guarded_route import BODY_PROBLEMS, GuardedRoute
from control_api.web.problem import problem_responses
from control_api.web.problem_catalogue import ProblemKind
from control_api.web.versions import IfMatch, etag

router = APIRouter(route_class=GuardedRoute, tags=["QR codes"])
Reader = Annotated[Member, requires("qr-codes:read")]
Writer = Annotated[Member, requires("qr-codes:write")]

_LIST_PROBLEMS = problem_responses(*MEMBER_PROBLEMS, ProblemKind.BAD_CURSOR, ProblemKind.INVALID_PARAMETERS)
_STATE_PROBLEMS = problem_responses(
    *MEMBER_PROBLEMS, ProblemKind.NOT_FOUND, ProblemKind.CODE_BANNED, ProblemKind.STALE_VERSION
)


def _qr_codes(request: Request) -> QrCodes:
    qr_codes: QrCodes = request.app.state.qr_codes
    return qr_codes


def _creation(request: Request) -> CodeCreation:
    creation: CodeCreation = request.app.state.code_creation
    return creation


def _changes(request: Request) -> CodeChanges:
    changes: CodeChanges = request.app.state.code_changes
    return changes


def _public_url(request: Request) -> str:
    public_url: str = request.app.state.settings.public_url
    return public_url


Service = Annotated[QrCodes, Depends(_qr_codes)]
Creation = Annotated[CodeCreation, Depends(_creation)]
Changes = Annotated[CodeChanges, Depends(_changes)]
PublicUrl = Annotated[str, Depends(_public_url)]


def author_of(caller: Member) -> Author:
    return Author(caller.workspace_id, caller.user_id, caller.actor)


@router.post(
    "/v1/qr-codes",
    summary="Create a QR code",
    status_code=201,
    responses=problem_responses(
        *MEMBER_PROBLEMS,
        *BODY_PROBLEMS,
        ProblemKind.SHORT_CODE_TAKEN,
        ProblemKind.INSUFFICIENT_CREDITS,
        ProblemKind.PASSWORDS_BUSY,
    ),
)
@costs("qr_code.created", effect=Effect.POSTGRES)
async def create_qr_code(
    wanted: QrCodeWanted, caller: Writer, creation: Creation, public_url: PublicUrl, response: Response
) -> QrCodeAnswer:
    """It redirects as soon as this is answered."""
    code = await creation.create(author_of(caller), wanted.to_model())
    response.headers["ETag"] = etag(code.version)
    response.headers["Location"] = f"/v1/qr-codes/{code.id}"
    return QrCodeAnswer.of(code, public_url)


@router.get("/v1/qr-codes", summary="List QR codes", responses=_LIST_PROBLEMS)
async def list_qr_codes(
    caller: Reader, codes: Service, public_url: PublicUrl, search: AskedSearch, page: AskedSortedPage
) -> QrCodePage:
    """Newest first, unless `sort` and `order` say otherwise. All filters must be met. A code that is created
    meanwhile shifts no page; one whose sort key changes meanwhile may be met again or be missed."""
    return QrCodePage.of(await codes.search(caller.workspace_id, search, page), public_url)


@router.get("/v1/tags", summary="List tags", responses=_LIST_PROBLEMS)
async def list_tags(caller: Reader, codes: Service, page: AskedTagPage) -> TagPage:
    """By their names, with the number of codes that have each."""
    return TagPage.of(await codes.list_tags(caller.workspace_id, page))


@router.get(
    "/v1/qr-codes/{qr_id}",
    summary="Get a QR code",
    responses=problem_responses(*MEMBER_PROBLEMS, ProblemKind.NOT_FOUND),
)
async def get_qr_code(
    qr_id: UUID, caller: Reader, codes: Service, public_url: PublicUrl, response: Response
) -> QrCodeAnswer:
    """One code by id."""
    code = await codes.get(caller.workspace_id, qr_id)
    response.headers["ETag"] = etag(code.version)
    return QrCodeAnswer.of(code, public_url)


@router.patch(
    "/v1/qr-codes/{qr_id}",
    summary="Change a QR code",
    responses=problem_responses(
        *MEMBER_PROBLEMS,
        *BODY_PROBLEMS,
        ProblemKind.NOT_FOUND,
        ProblemKind.CODE_BANNED,
        ProblemKind.STALE_VERSION,
        ProblemKind.PASSWORDS_BUSY,
    ),
)
async def change_qr_code(  # noqa: PLR0913 - FastAPI hands over each by name
    qr_id: UUID,
    change: QrCodeChange,
    caller: Writer,
    changes: Changes,
    public_url: PublicUrl,
    response: Response,
    if_match: IfMatch = None,
) -> QrCodeAnswer:
    """A change that changes nothing makes no new version."""
    code = await changes.change(author_of(caller), change.to_edit(qr_id, if_match))
    response.headers["ETag"] = etag(code.version)
    return QrCodeAnswer.of(code, public_url)


@router.delete(
    "/v1/qr-codes/{qr_id}",
    summary="Delete a QR code",
    status_code=204,
    response_class=Response,
    responses=problem_responses(*MEMBER_PROBLEMS, ProblemKind.NOT_FOUND, ProblemKind.STALE_VERSION),
)
async def delete_qr_code(qr_id: UUID, caller: Writer, changes: Changes, if_match: IfMatch = None) -> None:
    """Scans of it are told that it is gone; its short code is never given out again. It can be restored."""
    edit = Edit(qr_id, Change({"status": DELETED}), if_match)
    await changes.change(author_of(caller), edit, "qr_code.deleted")


class StateChange:
    """What the routes take that put a code into another state, and how they answer."""

    def __init__(
        self, qr_id: UUID, changes: Changes, public_url: PublicUrl, response: Response, if_match: IfMatch = None
    ) -> None:
        self._qr_id = qr_id
        self._changes = changes
        self._public_url = public_url
        self._response = response
        self._if_match = if_match

    async def to(self, caller: Member, status: str, action: str) -> QrCodeAnswer:
        edit = Edit(self._qr_id, Change({"status": status}), self._if_match)
        return self._answer(await self._changes.change(author_of(caller), edit, action))

    async def back(self, caller: Member) -> QrCodeAnswer:
        return self._answer(await self._changes.restore(author_of(caller), self._qr_id, self._if_match, None))

    def _answer(self, code: QrCode) -> QrCodeAnswer:
        self._response.headers["ETag"] = etag(code.version)
        return QrCodeAnswer.of(code, self._public_url)


AskedChange = Annotated[StateChange, Depends()]


@router.post("/v1/qr-codes/{qr_id}/pause", summary="Pause a QR code", responses=_STATE_PROBLEMS)
async def pause_qr_code(caller: Writer, change: AskedChange) -> QrCodeAnswer:
    """Scans are sent to the fallback address or told to come again. A paused code stays as it is."""
    return await change.to(caller, PAUSED, "qr_code.paused")


@router.post("/v1/qr-codes/{qr_id}/resume", summary="Resume a QR code", responses=_STATE_PROBLEMS)
async def resume_qr_code(caller: Writer, change: AskedChange) -> QrCodeAnswer:
    """It redirects again. An active code stays as it is."""
    return await change.to(caller, ACTIVE, "qr_code.resumed")


@router.post("/v1/qr-codes/{qr_id}/archive", summary="Archive a QR code", responses=_STATE_PROBLEMS)
async def archive_qr_code(caller: Writer, change: AskedChange) -> QrCodeAnswer:
    """It leaves the list and goes on redirecting. An archived code stays as it is."""
    return await change.to(caller, ARCHIVED, "qr_code.archived")


@router.post(
    "/v1/qr-codes/{qr_id}/restore",
    summary="Restore a QR code",
    responses=problem_responses(
        *MEMBER_PROBLEMS, ProblemKind.NOT_FOUND, ProblemKind.DOMAIN_NOT_VERIFIED, ProblemKind.STALE_VERSION
    ),
)
async def restore_qr_code(caller: Writer, change: AskedChange) -> QrCodeAnswer:
    """Out of the archive or from deletion, to the state before. Any other code stays as it is."""
    return await change.back(caller)

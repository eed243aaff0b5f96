"""/v1/qr-codes."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response

from control_api.qr_codes.model import LISTED_BY_DEFAULT
from control_api.qr_codes.schemas import QrCodeAnswer, QrCodeChange, QrCodePage, QrCodeWanted, Status
from control_api.qr_codes.service import QrCodes
from control_api.web.authentication import MEMBER_PROBLEMS, Member, requires
from control_api.web.guarded_route import BODY_PROBLEMS, GuardedRoute
from control_api.web.paging import AskedPage
from control_api.web.problem import problem_responses
from control_api.web.problem_catalogue import ProblemKind
from control_api.web.versions import IfMatch, etag

router = APIRouter(route_class=GuardedRoute, tags=["QR codes"])
Reader = Annotated[Member, requires("qr-codes:read")]
Writer = Annotated[Member, requires("qr-codes:write")]


def _qr_codes(request: Request) -> QrCodes:
    qr_codes: QrCodes = request.app.state.qr_codes
    return qr_codes


def _public_url(request: Request) -> str:
    public_url: str = request.app.state.settings.public_url
    return public_url


Service = Annotated[QrCodes, Depends(_qr_codes)]
PublicUrl = Annotated[str, Depends(_public_url)]


@router.post(
    "/v1/qr-codes",
    summary="Create a QR code",
    status_code=201,
    responses=problem_responses(*MEMBER_PROBLEMS, *BODY_PROBLEMS, ProblemKind.SHORT_CODE_TAKEN),
)
async def create_qr_code(
    wanted: QrCodeWanted, caller: Writer, codes: Service, public_url: PublicUrl, response: Response
) -> QrCodeAnswer:
    """It redirects as soon as this is answered."""
    code = await codes.create(caller, wanted.to_model())
    response.headers["ETag"] = etag(code.version)
    response.headers["Location"] = f"/v1/qr-codes/{code.id}"
    return QrCodeAnswer.of(code, public_url)


@router.get(
    "/v1/qr-codes",
    summary="List QR codes",
    responses=problem_responses(*MEMBER_PROBLEMS, ProblemKind.BAD_CURSOR, ProblemKind.INVALID_PARAMETERS),
)
async def list_qr_codes(
    caller: Reader,
    codes: Service,
    public_url: PublicUrl,
    page: AskedPage,
    status: Annotated[Status | None, Query(description="Only these; without it all but the archived")] = None,
) -> QrCodePage:
    """Newest first."""
    statuses = LISTED_BY_DEFAULT if status is None else (status,)
    return QrCodePage.of(await codes.list(caller, statuses, page), public_url)


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
        *MEMBER_PROBLEMS, *BODY_PROBLEMS, ProblemKind.NOT_FOUND, ProblemKind.CODE_BANNED, ProblemKind.STALE_VERSION
    ),
)
async def change_qr_code(  # noqa: PLR0913 - FastAPI hands over each by name
    qr_id: UUID,
    change: QrCodeChange,
    caller: Writer,
    codes: Service,
    public_url: PublicUrl,
    response: Response,
    if_match: IfMatch = None,
) -> QrCodeAnswer:
    """A change that changes nothing makes no new version."""
    code = await codes.update(caller, qr_id, change.to_model(), if_match)
    response.headers["ETag"] = etag(code.version)
    return QrCodeAnswer.of(code, public_url)


@router.delete(
    "/v1/qr-codes/{qr_id}",
    summary="Delete a QR code",
    status_code=204,
    response_class=Response,
    responses=problem_responses(*MEMBER_PROBLEMS, ProblemKind.NOT_FOUND, ProblemKind.STALE_VERSION),
)
async def delete_qr_code(qr_id: UUID, caller: Writer, codes: Service, if_match: IfMatch = None) -> None:
    """Scans of it are told that it is gone; its short code is never given out again."""
    await codes.delete(caller, qr_id, if_match)

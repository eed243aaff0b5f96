"""/v1/admin/qr-codes: search over every workspace, ban and unban."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response

from control_api.qr_codes.admin_schemas import BanWanted
from control_api.qr_codes.bans import CodeBans
from control_api.qr_codes.code_fields import Status
from control_api.qr_codes.endpoints import PublicUrl
from control_api.qr_codes.schemas import QrCodeAnswer, QrCodePage
from control_api.qr_codes.search_fields import STORABLE, require_storable
from control_api.web.authentication import ADMIN_PROBLEMS, PlatformAdmin, requires_admin
from control_api.web.guarded_route import BODY_PROBLEMS, GuardedRoute
from control_api.web.paging import AskedPage
from control_api.web.problem import problem_responses
from control_api.web.problem_catalogue import ProblemKind
from control_api.web.versions import etag

router = APIRouter(route_class=GuardedRoute, tags=["QR codes"])
Admin = Annotated[PlatformAdmin, requires_admin()]


def _bans(request: Request) -> CodeBans:
    bans: CodeBans = request.app.state.code_bans
    return bans


Bans = Annotated[CodeBans, Depends(_bans)]


@router.get(
    "/v1/admin/qr-codes",
    summary="Search the QR codes of every workspace",
    responses=problem_responses(*ADMIN_PROBLEMS, ProblemKind.BAD_CURSOR, ProblemKind.INVALID_PARAMETERS),
)
async def search_qr_codes(  # noqa: PLR0913 - FastAPI hands over each by name
    _admin: Admin,
    bans: Bans,
    public_url: PublicUrl,
    page: AskedPage,
    workspace_id: Annotated[UUID | None, Query()] = None,
    status: Annotated[Status | None, Query(description="Only these; deleted ones are listed too")] = None,
    short_code: Annotated[
        str | None, Query(max_length=63, json_schema_extra=STORABLE, description="Exactly this one, on any domain")
    ] = None,
    target: Annotated[
        str | None,
        Query(
            min_length=1,
            max_length=200,
            json_schema_extra=STORABLE,
            description="Stands in the target, the fallback or a rule",
        ),
    ] = None,
) -> QrCodePage:
    """Newest first."""
    found = await bans.search(
        page,
        workspace_id=workspace_id,
        status=status,
        short_code=require_storable("short_code", short_code),
        target=require_storable("target", target),
    )
    return QrCodePage.of(found, public_url)


@router.post(
    "/v1/admin/qr-codes/{qr_id}/ban",
    summary="Ban a QR code",
    responses=problem_responses(*ADMIN_PROBLEMS, *BODY_PROBLEMS, ProblemKind.NOT_FOUND),
)
async def ban_qr_code(  # noqa: PLR0913 - FastAPI hands over each by name
    qr_id: UUID, wanted: BanWanted, admin: Admin, bans: Bans, public_url: PublicUrl, response: Response
) -> QrCodeAnswer:
    """Scans of it see a page that says so. Its owner sees the reason and the note, and cannot lift it."""
    code = await bans.ban(admin.actor, qr_id, wanted.reason, wanted.note)
    response.headers["ETag"] = etag(code.version)
    return QrCodeAnswer.of(code, public_url)


@router.post(
    "/v1/admin/qr-codes/{qr_id}/unban",
    summary="Lift the ban of a QR code",
    responses=problem_responses(*ADMIN_PROBLEMS, ProblemKind.NOT_FOUND),
)
async def unban_qr_code(
    qr_id: UUID, admin: Admin, bans: Bans, public_url: PublicUrl, response: Response
) -> QrCodeAnswer:
    """It gets the state it had before. A code that is not banned stays as it is."""
    code = await bans.unban(admin.actor, qr_id)
    response.headers["ETag"] = etag(code.version)
    return QrCodeAnswer.of(code, public_url)

"""/v1/domains and /v1/admin/domains."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response

from control_api.domains.schemas import DomainAnswer, DomainChange, DomainPage, DomainWanted
from control_api.domains.service import Domains
from control_api.web.authentication import (
    ADMIN_PROBLEMS,
    MEMBER_PROBLEMS,
    Member,
    PlatformAdmin,
    requires,
    requires_admin,
)
from control_api.web.guarded_route import BODY_PROBLEMS, GuardedRoute
from control_api.web.paging import AskedPage
from control_api.web.problem import problem_responses
from control_api.web.problem_catalogue import ProblemKind
from control_api.web.versions import IfMatch, etag

router = APIRouter(route_class=GuardedRoute, tags=["domains"])
Reader = Annotated[Member, requires("domains:read")]
Writer = Annotated[Member, requires("domains:write")]
Admin = Annotated[PlatformAdmin, requires_admin()]


def _domains(request: Request) -> Domains:
    domains: Domains = request.app.state.domains
    return domains


Service = Annotated[Domains, Depends(_domains)]


@router.post(
    "/v1/domains",
    summary="Create a custom domain",
    status_code=201,
    responses=problem_responses(*MEMBER_PROBLEMS, *BODY_PROBLEMS, ProblemKind.HOST_TAKEN),
)
async def create_domain(wanted: DomainWanted, caller: Writer, domains: Service, response: Response) -> DomainAnswer:
    """It takes codes and answers scans once the platform admin has verified it."""
    domain = await domains.create(caller, wanted.to_model())
    response.headers["ETag"] = etag(domain.version)
    response.headers["Location"] = f"/v1/domains/{domain.id}"
    return DomainAnswer.of(domain)


@router.get(
    "/v1/domains",
    summary="List custom domains",
    responses=problem_responses(*MEMBER_PROBLEMS, ProblemKind.BAD_CURSOR, ProblemKind.INVALID_PARAMETERS),
)
async def list_domains(caller: Reader, domains: Service, page: AskedPage) -> DomainPage:
    """Newest first."""
    return DomainPage.of(await domains.list(caller, page))


@router.get(
    "/v1/domains/{domain_id}",
    summary="Get a custom domain",
    responses=problem_responses(*MEMBER_PROBLEMS, ProblemKind.NOT_FOUND),
)
async def get_domain(domain_id: UUID, caller: Reader, domains: Service, response: Response) -> DomainAnswer:
    """One domain by id."""
    domain = await domains.get(caller, domain_id)
    response.headers["ETag"] = etag(domain.version)
    return DomainAnswer.of(domain)


@router.patch(
    "/v1/domains/{domain_id}",
    summary="Change a custom domain",
    responses=problem_responses(*MEMBER_PROBLEMS, *BODY_PROBLEMS, ProblemKind.NOT_FOUND, ProblemKind.STALE_VERSION),
)
async def change_domain(  # noqa: PLR0913 - FastAPI hands over each by name
    domain_id: UUID,
    change: DomainChange,
    caller: Writer,
    domains: Service,
    response: Response,
    if_match: IfMatch = None,
) -> DomainAnswer:
    """A change that changes nothing makes no new version."""
    domain = await domains.update(caller, domain_id, change.to_model(), if_match)
    response.headers["ETag"] = etag(domain.version)
    return DomainAnswer.of(domain)


@router.delete(
    "/v1/domains/{domain_id}",
    summary="Delete a custom domain",
    status_code=204,
    response_class=Response,
    responses=problem_responses(
        *MEMBER_PROBLEMS, ProblemKind.NOT_FOUND, ProblemKind.DOMAIN_IN_USE, ProblemKind.STALE_VERSION
    ),
)
async def delete_domain(domain_id: UUID, caller: Writer, domains: Service, if_match: IfMatch = None) -> None:
    """Only when no code is left on it. Created again, it remembers which short codes were given out on it."""
    await domains.delete(caller, domain_id, if_match)


@router.post(
    "/v1/admin/domains/{domain_id}/verify",
    summary="Verify a custom domain",
    responses=problem_responses(*ADMIN_PROBLEMS, ProblemKind.NOT_FOUND, ProblemKind.HOST_TAKEN),
)
async def verify_domain(domain_id: UUID, domains: Service, admin: Admin, response: Response) -> DomainAnswer:
    """From now on its host is its workspace's. A domain that is verified already stays as it is."""
    domain = await domains.verify(admin, domain_id)
    response.headers["ETag"] = etag(domain.version)
    return DomainAnswer.of(domain)

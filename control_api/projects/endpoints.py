"""/v1/projects."""

from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response

from control_api.projects.schemas import (
    CodesToMove,
    MovedCodes,
    ProjectAnswer,
    ProjectChange,
    ProjectPage,
    ProjectWanted,
)
from control_api.projects.service import Projects
from control_api.web.authentication import MEMBER_PROBLEMS, Member, requires
from control_api.web.guarded_route import BODY_PROBLEMS, GuardedRoute
from control_api.web.paging import AskedPage
from control_api.web.problem import invalid_parameter, problem_responses
from control_api.web.problem_catalogue import ProblemKind
from control_api.web.versions import IfMatch, etag

router = APIRouter(route_class=GuardedRoute, tags=["projects"])
Reader = Annotated[Member, requires("projects:read")]
Writer = Annotated[Member, requires("projects:write")]


def _projects(request: Request) -> Projects:
    projects: Projects = request.app.state.projects
    return projects


Service = Annotated[Projects, Depends(_projects)]


@router.post(
    "/v1/projects",
    summary="Create a project",
    status_code=201,
    responses=problem_responses(*MEMBER_PROBLEMS, *BODY_PROBLEMS),
)
async def create_project(
    wanted: ProjectWanted, caller: Writer, projects: Service, response: Response
) -> ProjectAnswer:
    """A folder for codes, empty at first."""
    project = await projects.create(caller, wanted.name, wanted.color)
    response.headers["ETag"] = etag(project.version)
    response.headers["Location"] = f"/v1/projects/{project.id}"
    return ProjectAnswer.of(project)


@router.get(
    "/v1/projects",
    summary="List projects",
    responses=problem_responses(*MEMBER_PROBLEMS, ProblemKind.BAD_CURSOR, ProblemKind.INVALID_PARAMETERS),
)
async def list_projects(caller: Reader, projects: Service, page: AskedPage) -> ProjectPage:
    """Newest first."""
    return ProjectPage.of(await projects.list(caller, page))


@router.get(
    "/v1/projects/{project_id}",
    summary="Get a project",
    responses=problem_responses(*MEMBER_PROBLEMS, ProblemKind.NOT_FOUND),
)
async def get_project(project_id: UUID, caller: Reader, projects: Service, response: Response) -> ProjectAnswer:
    """One project by id."""
    project = await projects.get(caller, project_id)
    response.headers["ETag"] = etag(project.version)
    return ProjectAnswer.of(project)


@router.patch(
    "/v1/projects/{project_id}",
    summary="Change a project",
    responses=problem_responses(*MEMBER_PROBLEMS, *BODY_PROBLEMS, ProblemKind.NOT_FOUND, ProblemKind.STALE_VERSION),
)
async def change_project(  # noqa: PLR0913 - FastAPI hands over each by name
    project_id: UUID,
    change: ProjectChange,
    caller: Writer,
    projects: Service,
    response: Response,
    if_match: IfMatch = None,
) -> ProjectAnswer:
    """A change that changes nothing makes no new version."""
    project = await projects.update(caller, project_id, change.to_model(), if_match)
    response.headers["ETag"] = etag(project.version)
    return ProjectAnswer.of(project)


@router.post(
    "/v1/projects/{project_id}/codes",
    summary="Move QR codes into a project",
    responses=problem_responses(*MEMBER_PROBLEMS, *BODY_PROBLEMS, ProblemKind.NOT_FOUND),
)
async def move_codes(project_id: UUID, wanted: CodesToMove, caller: Writer, projects: Service) -> MovedCodes:
    """Out of whatever project they are in. A code that is in it already stays as it is."""
    return MovedCodes.of(wanted.qr_ids, await projects.move_in(caller, project_id, wanted.qr_ids))


@router.delete(
    "/v1/projects/{project_id}",
    summary="Delete a project",
    status_code=204,
    response_class=Response,
    responses=problem_responses(
        *MEMBER_PROBLEMS, ProblemKind.INVALID_PARAMETERS, ProblemKind.NOT_FOUND, ProblemKind.STALE_VERSION
    ),
)
async def delete_project(  # noqa: PLR0913 - FastAPI hands over each by name
    project_id: UUID,
    caller: Writer,
    projects: Service,
    codes: Annotated[
        Literal["keep", "archive"], Query(description="What becomes of its codes: they leave it, or are archived too")
    ] = "keep",
    move_to: Annotated[UUID | None, Query(description="The project its codes go to instead")] = None,
    if_match: IfMatch = None,
) -> None:
    """No code is deleted, and each goes on redirecting."""
    if codes == "archive" and move_to is not None:
        raise invalid_parameter("move_to", "does not go with codes=archive")
    await projects.delete(caller, project_id, if_match, move_to=move_to, archive=codes == "archive")

"""/v1/admin/jobs."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request

from control_api.jobs.schemas import JobsAnswer, ReplayAnswer
from control_api.jobs.service import JobBoard
from control_api.web.authentication import ADMIN_PROBLEMS, PlatformAdmin, requires_admin
from control_api.web.guarded_route import GuardedRoute
from control_api.web.paging import AskedPage
from control_api.web.problem import problem_responses
from control_api.web.problem_catalogue import ProblemKind

router = APIRouter(route_class=GuardedRoute, tags=["jobs"])
Admin = Annotated[PlatformAdmin, requires_admin()]


def _jobs(request: Request) -> JobBoard:
    jobs: JobBoard = request.app.state.jobs
    return jobs


Service = Annotated[JobBoard, Depends(_jobs)]


@router.get(
    "/v1/admin/jobs",
    summary="List jobs",
    responses=problem_responses(*ADMIN_PROBLEMS, ProblemKind.BAD_CURSOR, ProblemKind.INVALID_PARAMETERS),
)
async def list_jobs(page: AskedPage, jobs: Service, _admin: Admin) -> JobsAnswer:
    """Those that come by the clock, with their last run and the next; those that have failed for good."""
    return JobsAnswer.of(await jobs.list_scheduled(), await jobs.list_dead(page))


@router.post(
    "/v1/admin/jobs/{job_id}/replay",
    summary="Run a dead job again",
    responses=problem_responses(*ADMIN_PROBLEMS, ProblemKind.NOT_FOUND, ProblemKind.JOB_NOT_DEAD),
)
async def replay_job(
    job_id: Annotated[int, Path(ge=1, le=(1 << 63) - 1)], jobs: Service, admin: Admin
) -> ReplayAnswer:
    """A worker takes it within seconds."""
    await jobs.replay(job_id, admin.actor)
    return ReplayAnswer(id=job_id)

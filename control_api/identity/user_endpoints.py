"""/v1/admin/users, and what else of identity a platform admin does."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response

from control_api.identity.password_resets import PasswordResets
from control_api.identity.schemas import (
    NewUserAnswer,
    RegeneratedKey,
    ResetAnswer,
    UserAnswer,
    UserChange,
    UserPage,
    UserWanted,
    WorkspaceAnswer,
)
from control_api.identity.service import Workspaces
from control_api.identity.users import Users
from control_api.identity.workspace_schemas import HandOver
from control_api.web.authentication import ADMIN_PROBLEMS, PlatformAdmin, requires_admin
from control_api.web.guarded_route import BODY_PROBLEMS, GuardedRoute
from control_api.web.paging import AskedPage
from control_api.web.problem import problem_responses
from control_api.web.problem_catalogue import ProblemKind
from control_api.web.versions import IfMatch, etag

router = APIRouter(route_class=GuardedRoute)
Admin = Annotated[PlatformAdmin, requires_admin()]


def _users(request: Request) -> Users:
    users: Users = request.app.state.users
    return users


def _password_resets(request: Request) -> PasswordResets:
    resets: PasswordResets = request.app.state.password_resets
    return resets


def _workspaces(request: Request) -> Workspaces:
    workspaces: Workspaces = request.app.state.workspaces
    return workspaces


UsersService = Annotated[Users, Depends(_users)]


@router.post(
    "/v1/admin/users",
    tags=["users"],
    summary="Create a user with a workspace and a key",
    status_code=201,
    responses=problem_responses(*ADMIN_PROBLEMS, *BODY_PROBLEMS, ProblemKind.EMAIL_TAKEN),
)
async def create_user(wanted: UserWanted, users: UsersService, admin: Admin) -> NewUserAnswer:
    """The key opens the user's personal workspace. It is answered here and never again."""
    return NewUserAnswer.of(await users.create(wanted.email, wanted.name, wanted.role, admin.actor))


@router.get(
    "/v1/admin/users",
    tags=["users"],
    summary="List users",
    responses=problem_responses(*ADMIN_PROBLEMS, ProblemKind.BAD_CURSOR, ProblemKind.INVALID_PARAMETERS),
)
async def list_users(page: AskedPage, users: UsersService, _admin: Admin) -> UserPage:
    """Newest first."""
    return UserPage.of(await users.list(page))


@router.get(
    "/v1/admin/users/{user_id}",
    tags=["users"],
    summary="Get a user",
    responses=problem_responses(*ADMIN_PROBLEMS, ProblemKind.NOT_FOUND),
)
async def get_user(user_id: UUID, users: UsersService, _admin: Admin, response: Response) -> UserAnswer:
    """One user by id."""
    user = await users.get(user_id)
    response.headers["ETag"] = etag(user.version)
    return UserAnswer.of(user)


@router.patch(
    "/v1/admin/users/{user_id}",
    tags=["users"],
    summary="Change a user",
    responses=problem_responses(
        *ADMIN_PROBLEMS, *BODY_PROBLEMS, ProblemKind.NOT_FOUND, ProblemKind.EMAIL_TAKEN, ProblemKind.STALE_VERSION
    ),
)
async def change_user(  # noqa: PLR0913 - FastAPI hands over each by name
    user_id: UUID,
    change: UserChange,
    users: UsersService,
    admin: Admin,
    response: Response,
    if_match: IfMatch = None,
) -> UserAnswer:
    """Address, name and role: `user`, or `admin` of the whole platform."""
    user = await users.update(user_id, change.sent_fields(), admin.actor, if_match)
    response.headers["ETag"] = etag(user.version)
    return UserAnswer.of(user)


@router.delete(
    "/v1/admin/users/{user_id}",
    tags=["users"],
    summary="Delete a user",
    status_code=204,
    response_class=Response,
    responses=problem_responses(*ADMIN_PROBLEMS, ProblemKind.NOT_FOUND, ProblemKind.STALE_VERSION),
)
async def delete_user(user_id: UUID, users: UsersService, admin: Admin, if_match: IfMatch = None) -> None:
    """Nothing that names them stays, and the address is free again. Keys, sessions and memberships end. Their codes
    go on redirecting; a workspace that they alone owned can be handed over."""
    await users.delete(user_id, admin.actor, if_match)


@router.post(
    "/v1/admin/users/{user_id}/regenerate-key",
    tags=["users"],
    summary="Make a user a new default key",
    responses=problem_responses(*ADMIN_PROBLEMS, ProblemKind.NOT_FOUND),
)
async def regenerate_key(user_id: UUID, users: UsersService, admin: Admin) -> RegeneratedKey:
    """The key named `default` of their personal workspace is revoked, and this one takes its place."""
    return RegeneratedKey(api_key=await users.regenerate_key(user_id, admin.actor))


@router.post(
    "/v1/admin/users/{user_id}/password-reset",
    tags=["users"],
    summary="Make a user a password reset",
    status_code=201,
    responses=problem_responses(*ADMIN_PROBLEMS, ProblemKind.NOT_FOUND),
)
async def create_password_reset(
    user_id: UUID, resets: Annotated[PasswordResets, Depends(_password_resets)], admin: Admin
) -> ResetAnswer:
    """Hand the token to the user: it is answered here and never again, and is good for one use within an hour."""
    return ResetAnswer.of(await resets.create(user_id, admin.actor))


@router.post(
    "/v1/admin/workspaces/{workspace_id}/owner",
    tags=["workspaces"],
    summary="Hand a workspace over",
    responses=problem_responses(*ADMIN_PROBLEMS, *BODY_PROBLEMS, ProblemKind.NOT_FOUND),
)
async def hand_workspace_over(
    workspace_id: UUID, wanted: HandOver, workspaces: Annotated[Workspaces, Depends(_workspaces)], admin: Admin
) -> WorkspaceAnswer:
    """The user becomes an owner beside those there are; for a workspace whose last owner was deleted."""
    return WorkspaceAnswer.of(await workspaces.hand_over(workspace_id, wanted.user_id, admin.actor))

"""/v1/admin/users and /v1/public/verify-key."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request

from control_api.identity.key_ring import KeyRing
from control_api.identity.schemas import KeyToVerify, NewUserAnswer, UserAnswer, UserPage, UserWanted, VerifiedKey
from control_api.identity.service import Users
from control_api.web.authentication import ADMIN_PROBLEMS, PlatformAdmin, requires_admin
from control_api.web.guarded_route import BODY_PROBLEMS, GuardedRoute
from control_api.web.paging import AskedPage
from control_api.web.problem import problem_responses
from control_api.web.problem_catalogue import ProblemKind

router = APIRouter(route_class=GuardedRoute)
Admin = Annotated[PlatformAdmin, requires_admin()]


def _users(request: Request) -> Users:
    users: Users = request.app.state.users
    return users


def _key_ring(request: Request) -> KeyRing:
    key_ring: KeyRing = request.app.state.authenticator
    return key_ring


UsersService = Annotated[Users, Depends(_users)]


@router.post(
    "/v1/admin/users",
    tags=["users"],
    summary="Create a user with a workspace and a key",
    status_code=201,
    responses=problem_responses(*ADMIN_PROBLEMS, *BODY_PROBLEMS, ProblemKind.EMAIL_TAKEN),
)
async def create_user(wanted: UserWanted, users: UsersService, _admin: Admin) -> NewUserAnswer:
    """The key opens the user's personal workspace. It is answered here and never again."""
    return NewUserAnswer.of(await users.create(wanted.email, wanted.name, wanted.role))


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
async def get_user(user_id: UUID, users: UsersService, _admin: Admin) -> UserAnswer:
    """One user by id."""
    return UserAnswer.of(await users.get(user_id))


@router.post(
    "/v1/public/verify-key",
    tags=["keys"],
    summary="Verify a key",
    responses=problem_responses(*BODY_PROBLEMS),
)
async def verify_key(presented: KeyToVerify, key_ring: Annotated[KeyRing, Depends(_key_ring)]) -> VerifiedKey:
    """Whether a key of a workspace is valid, and what it opens."""
    return VerifiedKey.of(await key_ring.find_key(presented.key))

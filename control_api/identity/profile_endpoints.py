"""/v1/me and /v1/api-keys."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request, Response

from control_api.identity.api_keys import ApiKeys
from control_api.identity.client_network import client_network
from control_api.identity.schemas import (
    KeyCreation,
    KeyPage,
    NewKeyAnswer,
    PasswordChange,
    ProfileAnswer,
    ProfileChange,
)
from control_api.identity.sign_in import PasswordSignIn
from control_api.identity.users import Users
from control_api.web.authentication import MEMBER_PROBLEMS, Member, requires
from control_api.web.guarded_route import BODY_PROBLEMS, GuardedRoute
from control_api.web.paging import AskedPage
from control_api.web.problem import problem_responses
from control_api.web.problem_catalogue import ProblemKind
from control_api.web.versions import IfMatch, etag

router = APIRouter(route_class=GuardedRoute)
ProfileReader = Annotated[Member, requires("profile:read")]
ProfileWriter = Annotated[Member, requires("profile:write")]
KeyReader = Annotated[Member, requires("api-keys:read")]
KeyWriter = Annotated[Member, requires("api-keys:write")]
KeyId = Annotated[str, Path(pattern="^[a-z2-7]{16}$")]


def _password_sign_in(request: Request) -> PasswordSignIn:
    sign_in: PasswordSignIn = request.app.state.password_sign_in
    return sign_in


def _users(request: Request) -> Users:
    users: Users = request.app.state.users
    return users


def _api_keys(request: Request) -> ApiKeys:
    keys: ApiKeys = request.app.state.api_keys
    return keys


ProfileService = Annotated[PasswordSignIn, Depends(_password_sign_in)]
KeysService = Annotated[ApiKeys, Depends(_api_keys)]


@router.get(
    "/v1/me",
    tags=["profile"],
    summary="Get the own profile",
    responses=problem_responses(*MEMBER_PROBLEMS),
)
async def get_profile(caller: ProfileReader, service: ProfileService, response: Response) -> ProfileAnswer:
    """Of who has signed in, or whose key it is."""
    found = await service.get_profile(caller)
    response.headers["ETag"] = etag(found.user.version)
    return ProfileAnswer.of_sign_in(found, caller)


@router.patch(
    "/v1/me",
    tags=["profile"],
    summary="Change the own profile",
    responses=problem_responses(*MEMBER_PROBLEMS, *BODY_PROBLEMS, ProblemKind.STALE_VERSION),
)
async def change_profile(
    change: ProfileChange,
    caller: ProfileWriter,
    service: ProfileService,
    response: Response,
    if_match: IfMatch = None,
) -> ProfileAnswer:
    """The name. The address is changed by a platform admin."""
    found = await service.update_profile(caller, change.sent_fields(), if_match)
    response.headers["ETag"] = etag(found.user.version)
    return ProfileAnswer.of_sign_in(found, caller)


@router.delete(
    "/v1/me",
    tags=["profile"],
    summary="Delete the own account",
    status_code=204,
    response_class=Response,
    responses=problem_responses(
        *MEMBER_PROBLEMS,
        ProblemKind.SIGN_IN_NEEDED,
        ProblemKind.LAST_OWNER,
        ProblemKind.WORKSPACE_IN_USE,
        ProblemKind.STALE_VERSION,
    ),
)
async def delete_account(
    caller: ProfileWriter, users: Annotated[Users, Depends(_users)], if_match: IfMatch = None
) -> None:
    """Nothing that names the user stays; keys, sessions and memberships end, and with them the personal workspace.
    Not while they alone own another workspace, or codes or domains are left in the personal one."""
    await users.delete_own(caller, if_match)


@router.post(
    "/v1/me/password",
    tags=["profile"],
    summary="Change the own password",
    status_code=204,
    response_class=Response,
    responses=problem_responses(
        *MEMBER_PROBLEMS, *BODY_PROBLEMS, ProblemKind.WRONG_CREDENTIALS, ProblemKind.TOO_MANY_ATTEMPTS
    ),
)
async def change_password(
    change: PasswordChange,
    caller: ProfileWriter,
    service: ProfileService,
    network: Annotated[str, Depends(client_network)],
) -> None:
    """All other sessions end."""
    await service.change_password(caller, change.current_password, change.new_password, network)


@router.post(
    "/v1/api-keys",
    tags=["keys"],
    summary="Create a key",
    status_code=201,
    responses=problem_responses(*MEMBER_PROBLEMS, *BODY_PROBLEMS),
)
async def create_api_key(
    wanted: KeyCreation, caller: KeyWriter, keys: KeysService, response: Response
) -> NewKeyAnswer:
    """It may no more than who makes it. The key is answered here and never again."""
    made = await keys.create(caller, wanted.to_model())
    response.headers["Location"] = f"/v1/api-keys/{made.key.id}"
    return NewKeyAnswer.of_made(made)


@router.get(
    "/v1/api-keys",
    tags=["keys"],
    summary="List keys",
    responses=problem_responses(*MEMBER_PROBLEMS, ProblemKind.BAD_CURSOR, ProblemKind.INVALID_PARAMETERS),
)
async def list_api_keys(caller: KeyReader, keys: KeysService, page: AskedPage) -> KeyPage:
    """Those that are not revoked, newest first; owners and admins see every member's, others their own."""
    return KeyPage.of(await keys.list(caller, page))


@router.post(
    "/v1/api-keys/{key_id}/regenerate",
    tags=["keys"],
    summary="Replace a key",
    status_code=201,
    responses=problem_responses(*MEMBER_PROBLEMS, ProblemKind.NOT_FOUND),
)
async def regenerate_api_key(key_id: KeyId, caller: KeyWriter, keys: KeysService, response: Response) -> NewKeyAnswer:
    """One of the caller's own is revoked at once, and another with its name and scopes is answered, here and never
    again. One that ends lasts as long anew."""
    made = await keys.regenerate(caller, key_id)
    response.headers["Location"] = f"/v1/api-keys/{made.key.id}"
    return NewKeyAnswer.of_made(made)


@router.delete(
    "/v1/api-keys/{key_id}",
    tags=["keys"],
    summary="Revoke a key",
    status_code=204,
    response_class=Response,
    responses=problem_responses(*MEMBER_PROBLEMS, ProblemKind.NOT_FOUND),
)
async def revoke_api_key(key_id: KeyId, caller: KeyWriter, keys: KeysService) -> None:
    """At once. Owners and admins may revoke every member's, others their own."""
    await keys.revoke(caller, key_id)

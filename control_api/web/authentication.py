"""Who is asking: a platform admin or a member of a workspace, signed in or by a key, and whether they may.

A route declares whom it serves by the type of an argument, `Annotated[Member, requires("qr-codes:write")]` or
`Annotated[PlatformAdmin, requires_admin()]`. GuardedRoute asks the guards before it reads the body, so that
nothing is validated, and nothing is said to exist or not, for somebody who may not know.

A key opens one workspace. Who is signed in is asking in the workspace that the path names as `workspace_id`, else the
header `Scanhop-Workspace`, else in their personal one. A workspace they are not in does not exist for them; nor does
another than its own for a key.
"""

from dataclasses import dataclass
from typing import Annotated, Any, Protocol
from uuid import UUID

from fastapi import Request, Security
from fastapi.security import APIKeyHeader, HTTPBearer

from control_api.web.permissions import PERMISSIONS, Role, is_allowed
from control_api.web.problem import Problem
from control_api.web.problem_catalogue import ProblemKind
from scanhop.wire.ids import UserId, WorkspaceId

_BEARER = HTTPBearer(
    auto_error=False, scheme_name="bearer", description="`Authorization: Bearer KEY`, or an access token"
)
_HEADER = APIKeyHeader(name="X-API-Key", auto_error=False, scheme_name="header", description="`X-API-Key: KEY`")


MEMBER_PROBLEMS = (ProblemKind.UNAUTHENTICATED, ProblemKind.WORKSPACE_KEY_NEEDED, ProblemKind.MISSING_SCOPE)
WORKSPACE_HEADER = "Scanhop-Workspace"
_NO_WORKSPACE = UUID(int=0)
ADMIN_PROBLEMS = (ProblemKind.UNAUTHENTICATED, ProblemKind.ADMIN_KEY_NEEDED)


@dataclass(frozen=True)
class PlatformAdmin:
    """Whoever knows SCANHOP_ADMIN_KEY, or a signed-in user whose role is admin."""

    actor: str = "platform-admin"


@dataclass(frozen=True)
class Member:
    """A member of a workspace, in person (`key_id` None) or by one of their keys; `scopes`: of the key.

    `is_platform_admin`, `session_id`: of somebody in person.
    """

    workspace_id: WorkspaceId
    user_id: UserId
    role: Role
    scopes: frozenset[str]
    key_id: str | None
    is_platform_admin: bool = False
    session_id: UUID | None = None

    @property
    def actor(self) -> str:
        return f"user:{self.user_id}" if self.key_id is None else f"key:{self.key_id}"

    def may(self, scope: str) -> bool:
        return is_allowed(scope, self.role, self.scopes)


@dataclass(frozen=True)
class CreditService:
    """Whoever knows SCANHOP_X_API_KEY: reports token usage, of any workspace, and nothing else."""

    actor: str = "credit-service"


Caller = PlatformAdmin | Member | CreditService


class Authenticator(Protocol):
    """Knows whose a credential is."""

    async def find_caller(self, credential: str, workspace_id: UUID | None) -> Caller | None:
        """None when it is nobody's: unknown, wrong, expired or revoked.

        `workspace_id`: the workspace that is asked for. Raises Problem when it is none of the caller's.
        """


class Guard:
    """A dependency that lets the right callers in, and asks only once per request."""

    def __init__(self, scope: str | None) -> None:
        """`scope` None: platform admins."""
        self.scope = scope

    async def __call__(
        self,
        request: Request,
        _bearer: Annotated[Any, Security(_BEARER)] = None,
        _header: Annotated[Any, Security(_HEADER)] = None,
    ) -> Caller:
        """The two last arguments are for the OpenAPI document. Raises Problem."""
        if not hasattr(request.state, "caller"):
            request.state.caller = await self.authenticate(request)
        return self.admit(request.state.caller)

    async def authenticate(self, request: Request) -> Caller:
        return await _authenticate(request, in_workspace=self.scope is not None)

    def admit(self, caller: Caller) -> Caller:
        return _admin_from(caller) if self.scope is None else _member_from(caller, self.scope)


def _admin_from(caller: Caller) -> PlatformAdmin:
    if isinstance(caller, PlatformAdmin):
        return caller
    if not isinstance(caller, Member) or not caller.is_platform_admin:
        raise Problem(ProblemKind.ADMIN_KEY_NEEDED, "The key or the session is not a platform admin's.")
    return PlatformAdmin(caller.actor)


def _member_from(caller: Caller, scope: str) -> Member:
    if not isinstance(caller, Member):
        detail = "The platform-admin key belongs to no workspace; use the key of one."
        raise Problem(ProblemKind.WORKSPACE_KEY_NEEDED, detail)
    if not caller.may(scope):
        raise Problem(ProblemKind.MISSING_SCOPE, f"This needs {scope}, by the key's scopes and the role.")
    return caller


def requires(scope: str) -> Any:
    """A member who may do what `scope` names in the table of permissions. Raises KeyError for any other."""
    PERMISSIONS[scope]
    return Security(Guard(scope))


def requires_admin() -> Any:
    return Security(Guard(None))


async def _authenticate(request: Request, *, in_workspace: bool) -> Caller:
    authenticator: Authenticator = request.app.state.authenticator
    credential = _find_credential(request)
    if credential is None:
        raise _unauthenticated("Send a key as `Authorization: Bearer KEY` or `X-API-Key: KEY`.")
    caller = await authenticator.find_caller(credential, _asked_workspace(request) if in_workspace else None)
    if caller is None:
        raise _unauthenticated("The key or the access token is unknown, expired or revoked.")
    return caller


def _unauthenticated(detail: str) -> Problem:
    return Problem(ProblemKind.UNAUTHENTICATED, detail, headers={"WWW-Authenticate": "Bearer"})


def _asked_workspace(request: Request) -> UUID | None:
    """What can be no id names no workspace, which the nil UUID says as well."""
    text = request.path_params.get("workspace_id") or request.headers.get(WORKSPACE_HEADER)
    try:
        return None if text is None else UUID(text)
    except ValueError:
        return _NO_WORKSPACE


def _find_credential(request: Request) -> str | None:
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and value.strip():
        return value.strip()
    return request.headers.get("x-api-key") or None

"""Who is asking: a platform admin or the holder of a workspace's key, and whether they may.

A route declares whom it serves by the type of an argument, `Annotated[Member, requires("qr-codes:write")]` or
`Annotated[PlatformAdmin, requires_admin()]`. GuardedRoute asks the guards before it reads the body, so that
nothing is validated, and nothing is said to exist or not, for somebody who may not know.
"""

from dataclasses import dataclass
from typing import Annotated, Any, Protocol

from fastapi import Request, Security
from fastapi.security import APIKeyHeader, HTTPBearer

from control_api.web.permissions import PERMISSIONS, Role, is_allowed
from control_api.web.problem import Problem
from control_api.web.problem_catalogue import ProblemKind
from scanhop.wire.ids import UserId, WorkspaceId

_BEARER = HTTPBearer(auto_error=False, scheme_name="bearer", description="`Authorization: Bearer KEY`")
_HEADER = APIKeyHeader(name="X-API-Key", auto_error=False, scheme_name="header", description="`X-API-Key: KEY`")


MEMBER_PROBLEMS = (ProblemKind.UNAUTHENTICATED, ProblemKind.WORKSPACE_KEY_NEEDED, ProblemKind.MISSING_SCOPE)
ADMIN_PROBLEMS = (ProblemKind.UNAUTHENTICATED, ProblemKind.ADMIN_KEY_NEEDED)


@dataclass(frozen=True)
class PlatformAdmin:
    """Whoever knows SCANHOP_ADMIN_KEY."""

    actor: str = "platform-admin"


@dataclass(frozen=True)
class Member:
    """A member of a workspace, in person (`key_id` None) or by one of their keys; `scopes`: of the key."""

    workspace_id: WorkspaceId
    user_id: UserId
    role: Role
    scopes: frozenset[str]
    key_id: str | None

    @property
    def actor(self) -> str:
        return f"user:{self.user_id}" if self.key_id is None else f"key:{self.key_id}"

    def may(self, scope: str) -> bool:
        return is_allowed(scope, self.role, self.scopes)


Caller = PlatformAdmin | Member


class Authenticator(Protocol):
    """Knows whose a credential is."""

    async def find_caller(self, credential: str) -> Caller | None:
        """None when it is nobody's: unknown, wrong, expired or revoked."""


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
            request.state.caller = await _authenticate(request)
        caller: Caller = request.state.caller
        self._admit(caller)
        return caller

    def _admit(self, caller: Caller) -> None:
        if self.scope is None:
            if not isinstance(caller, PlatformAdmin):
                raise Problem(ProblemKind.ADMIN_KEY_NEEDED, "The key belongs to a workspace.")
        elif not isinstance(caller, Member):
            detail = "The platform-admin key belongs to no workspace; use the key of one."
            raise Problem(ProblemKind.WORKSPACE_KEY_NEEDED, detail)
        elif not caller.may(self.scope):
            raise Problem(ProblemKind.MISSING_SCOPE, f"This needs {self.scope}, by the key's scopes and the role.")


def requires(scope: str) -> Any:
    """A member who may do what `scope` names in the table of permissions. Raises KeyError for any other."""
    PERMISSIONS[scope]
    return Security(Guard(scope))


def requires_admin() -> Any:
    return Security(Guard(None))


async def _authenticate(request: Request) -> Caller:
    authenticator: Authenticator = request.app.state.authenticator
    credential = _find_credential(request)
    caller = None if credential is None else await authenticator.find_caller(credential)
    if caller is None:
        detail = "Send a key as `Authorization: Bearer KEY` or `X-API-Key: KEY`."
        if credential is not None:
            detail = "The key is unknown, expired or revoked."
        raise Problem(ProblemKind.UNAUTHENTICATED, detail, headers={"WWW-Authenticate": "Bearer"})
    return caller


def _find_credential(request: Request) -> str | None:
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and value.strip():
        return value.strip()
    return request.headers.get("x-api-key") or None

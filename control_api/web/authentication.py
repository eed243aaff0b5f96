"""Who is asking: a platform admin or the holder of a workspace's key, and whether they may.

A route declares whom it serves by the type of an argument, `Annotated[KeyHolder, requires("qr-codes:write")]` or
`Annotated[PlatformAdmin, requires_admin()]`. GuardedRoute asks the guards before it reads the body, so that
nothing is validated, and nothing is said to exist or not, for somebody who may not know.
"""

from dataclasses import dataclass
from typing import Annotated, Any, Protocol

from fastapi import Request, Security
from fastapi.security import APIKeyHeader, HTTPBearer

from control_api.web.problem import Problem
from control_api.web.problem_catalogue import ProblemKind
from scanhop.wire.ids import UserId, WorkspaceId

ALL_SCOPES = "*"
_BEARER = HTTPBearer(auto_error=False, scheme_name="bearer", description="`Authorization: Bearer KEY`")
_HEADER = APIKeyHeader(name="X-API-Key", auto_error=False, scheme_name="header", description="`X-API-Key: KEY`")


HOLDER_PROBLEMS = (ProblemKind.UNAUTHENTICATED, ProblemKind.WORKSPACE_KEY_NEEDED, ProblemKind.MISSING_SCOPE)
ADMIN_PROBLEMS = (ProblemKind.UNAUTHENTICATED, ProblemKind.ADMIN_KEY_NEEDED)


@dataclass(frozen=True)
class PlatformAdmin:
    """Whoever knows SCANHOP_ADMIN_KEY."""

    actor: str = "platform-admin"


@dataclass(frozen=True)
class KeyHolder:
    """Whoever holds a key of a workspace; `scopes` are what the key may do."""

    key_id: str
    workspace_id: WorkspaceId
    user_id: UserId
    scopes: frozenset[str]

    @property
    def actor(self) -> str:
        return f"key:{self.key_id}"

    def may(self, scope: str) -> bool:
        return not self.scopes.isdisjoint({ALL_SCOPES, scope})


Caller = PlatformAdmin | KeyHolder


class Authenticator(Protocol):
    """Knows whose a credential is."""

    async def find_caller(self, credential: str) -> Caller | None:
        """None when it is nobody's: unknown, wrong, expired or revoked."""


class Guard:
    """A dependency that lets the right callers in, and asks only once per request."""

    def __init__(self, scope: str | None) -> None:
        self._scope = scope

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
        if self._scope is None:
            if not isinstance(caller, PlatformAdmin):
                raise Problem(ProblemKind.ADMIN_KEY_NEEDED, "The key belongs to a workspace.")
        elif not isinstance(caller, KeyHolder):
            detail = "The platform-admin key belongs to no workspace; use the key of one."
            raise Problem(ProblemKind.WORKSPACE_KEY_NEEDED, detail)
        elif not caller.may(self._scope):
            raise Problem(ProblemKind.MISSING_SCOPE, f"The key lacks the scope {self._scope}.")


def requires(scope: str) -> Any:
    """The holder of a workspace's key that has `scope`, written `object:read` or `object:write`."""
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

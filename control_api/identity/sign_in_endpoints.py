"""/v1/public: registering, signing in and out, refreshing, forgotten passwords, Google, verifying a key."""

from typing import Annotated, Any

from fastapi import APIRouter, Cookie, Depends, Query, Request, Response
from fastapi.responses import RedirectResponse

from control_api.identity.client_network import client_network
from control_api.identity.google_sign_in import LASTS, GoogleSignIn
from control_api.identity.key_ring import KeyRing
from control_api.identity.password_resets import PasswordResets
from control_api.identity.schemas import (
    ForgottenPassword,
    KeyToVerify,
    Login,
    RefreshToken,
    Registration,
    ResetAsked,
    ResetWanted,
    SessionAnswer,
    VerifiedKey,
)
from control_api.identity.sessions import Sessions
from control_api.identity.sign_in import PasswordSignIn
from control_api.web.guarded_route import BODY_PROBLEMS, GuardedRoute
from control_api.web.problem import problem_responses
from control_api.web.problem_catalogue import ProblemKind


class CallbackRoute(GuardedRoute):
    """What else the provider sends is ignored, as RFC 6749 (section 4.1.2) asks."""

    takes_any_query = True


router = APIRouter(route_class=GuardedRoute)
callback_router = APIRouter(route_class=CallbackRoute)
COOKIE = "scanhop_google"
_COOKIE_PATH = "/v1/public/oauth/google"
_GOOGLE_PROBLEMS = (ProblemKind.SIGN_IN_OFF, ProblemKind.PROVIDER_UNAVAILABLE)


def _key_ring(request: Request) -> KeyRing:
    key_ring: KeyRing = request.app.state.authenticator
    return key_ring


def _password_sign_in(request: Request) -> PasswordSignIn:
    sign_in: PasswordSignIn = request.app.state.password_sign_in
    return sign_in


def _sessions(request: Request) -> Sessions:
    sessions: Sessions = request.app.state.sessions
    return sessions


def _password_resets(request: Request) -> PasswordResets:
    resets: PasswordResets = request.app.state.password_resets
    return resets


def _google_sign_in(request: Request) -> GoogleSignIn:
    google: GoogleSignIn = request.app.state.google_sign_in
    return google


PasswordService = Annotated[PasswordSignIn, Depends(_password_sign_in)]
SessionsService = Annotated[Sessions, Depends(_sessions)]
ResetsService = Annotated[PasswordResets, Depends(_password_resets)]
GoogleService = Annotated[GoogleSignIn, Depends(_google_sign_in)]
Network = Annotated[str, Depends(client_network)]


@router.post(
    "/v1/public/register",
    tags=["sign-in"],
    summary="Register",
    status_code=201,
    responses=problem_responses(
        *BODY_PROBLEMS,
        ProblemKind.SIGN_IN_OFF,
        ProblemKind.REGISTRATION_CLOSED,
        ProblemKind.EMAIL_TAKEN,
        ProblemKind.TOO_MANY_ATTEMPTS,
    ),
)
async def register(wanted: Registration, service: PasswordService, network: Network) -> SessionAnswer:
    """A new user with a personal workspace, signed in at once."""
    return SessionAnswer.of(await service.register(wanted.email, wanted.password, wanted.name, network))


@router.post(
    "/v1/public/login",
    tags=["sign-in"],
    summary="Sign in with a password",
    responses=problem_responses(
        *BODY_PROBLEMS, ProblemKind.WRONG_CREDENTIALS, ProblemKind.SIGN_IN_OFF, ProblemKind.TOO_MANY_ATTEMPTS
    ),
)
async def login(presented: Login, service: PasswordService, network: Network) -> SessionAnswer:
    """A wrong password and an unknown address answer the same."""
    return SessionAnswer.of(await service.sign_in(presented.email, presented.password, network))


@router.post(
    "/v1/public/refresh",
    tags=["sign-in"],
    summary="Refresh a session",
    responses=problem_responses(*BODY_PROBLEMS, ProblemKind.UNAUTHENTICATED, ProblemKind.SIGN_IN_OFF),
)
async def refresh(presented: RefreshToken, sessions: SessionsService) -> SessionAnswer:
    """New tokens for the last refresh token. One that was used before ends the session for everybody who holds it."""
    return SessionAnswer.of(await sessions.refresh(presented.refresh_token))


@router.post(
    "/v1/public/logout",
    tags=["sign-in"],
    summary="Sign out",
    status_code=204,
    response_class=Response,
    responses=problem_responses(*BODY_PROBLEMS),
)
async def logout(presented: RefreshToken, sessions: SessionsService) -> None:
    """The session ends, its access token too. An unknown token is no error."""
    await sessions.end(presented.refresh_token)


@router.post(
    "/v1/public/forgot-password",
    tags=["sign-in"],
    summary="Ask for a password reset",
    status_code=202,
    responses=problem_responses(*BODY_PROBLEMS, ProblemKind.TOO_MANY_ATTEMPTS),
)
async def forgot_password(asked: ForgottenPassword, resets: ResetsService, network: Network) -> ResetAsked:
    """The answer is the same whether or not somebody has the address."""
    await resets.ask(asked.email, network)
    return ResetAsked()


@router.post(
    "/v1/public/reset-password",
    tags=["sign-in"],
    summary="Reset a password",
    status_code=204,
    response_class=Response,
    responses=problem_responses(*BODY_PROBLEMS, ProblemKind.TOO_MANY_ATTEMPTS),
)
async def reset_password(wanted: ResetWanted, resets: ResetsService, network: Network) -> None:
    """All sessions of the user end; sign in with the new password."""
    await resets.use(wanted.token, wanted.password, network)


@router.get(
    "/v1/public/oauth/google/start",
    tags=["sign-in"],
    summary="Sign in by Google",
    status_code=303,
    response_class=RedirectResponse,
    responses=problem_responses(*_GOOGLE_PROBLEMS),
)
async def start_google_sign_in(google: GoogleService, request: Request) -> Response:
    """Sends the browser to Google."""
    started = await google.start()
    answer = RedirectResponse(started.url, 303)
    answer.set_cookie(COOKIE, started.cookie, max_age=int(LASTS.total_seconds()), **_cookie_attributes(request))
    return answer


@callback_router.get(
    "/v1/public/oauth/google/callback",
    tags=["sign-in"],
    summary="Come back from Google",
    responses=problem_responses(
        *_GOOGLE_PROBLEMS,
        ProblemKind.GOOGLE_SIGN_IN_FAILED,
        ProblemKind.EMAIL_NOT_VERIFIED,
        ProblemKind.REGISTRATION_CLOSED,
        ProblemKind.EMAIL_TAKEN,
        ProblemKind.PASSWORD_SIGN_IN_NEEDED,
        ProblemKind.OTHER_GOOGLE_ACCOUNT,
        ProblemKind.INVALID_PARAMETERS,
    ),
)
async def finish_google_sign_in(  # noqa: PLR0913 - what Google sends
    google: GoogleService,
    request: Request,
    response: Response,
    code: Annotated[str | None, Query(max_length=2000)] = None,
    state: Annotated[str | None, Query(max_length=200)] = None,
    error: Annotated[str | None, Query(max_length=200)] = None,
    cookie: Annotated[str | None, Cookie(alias=COOKIE, include_in_schema=False)] = None,
) -> SessionAnswer:
    """Answers as signing in with a password does; a new user gets an account."""
    signed_in = await google.finish(code, state, error, cookie)
    response.delete_cookie(COOKIE, **_cookie_attributes(request))
    return SessionAnswer.of(signed_in)


def _cookie_attributes(request: Request) -> dict[str, Any]:
    is_https = request.app.state.settings.api_url.startswith("https://")
    return {"path": _COOKIE_PATH, "secure": is_https, "httponly": True, "samesite": "lax"}


@router.post(
    "/v1/public/verify-key",
    tags=["keys"],
    summary="Verify a key",
    responses=problem_responses(*BODY_PROBLEMS),
)
async def verify_key(presented: KeyToVerify, key_ring: Annotated[KeyRing, Depends(_key_ring)]) -> VerifiedKey:
    """Whether a key of a workspace is valid, and what it opens."""
    return VerifiedKey.of(await key_ring.find_key(presented.key))

"""The route class of every router: callers are admitted first, then the body is read, as JSON and nothing else.

Every request is held against a rate limit once it is known whose it is. A POST of a caller that brings an
`Idempotency-Key` has its effect once. Routes need to do nothing for either.
"""

from collections.abc import Callable, Collection, Coroutine, Iterator, Sequence
from typing import Any, Protocol, TypeVar

import orjson
from fastapi import Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from control_api.web.authentication import Caller, Guard
from control_api.web.problem import MAX_NAME, InvalidParameter, Problem, invalid_parameter
from control_api.web.problem_catalogue import ProblemKind

BODY_PROBLEMS = (
    ProblemKind.MALFORMED_JSON,
    ProblemKind.REQUEST_TIMEOUT,
    ProblemKind.BODY_TOO_LARGE,
    ProblemKind.UNSUPPORTED_MEDIA_TYPE,
    ProblemKind.INVALID_PARAMETERS,
)
IDEMPOTENCY_KEY = "Idempotency-Key"
Handler = Callable[[Request], Coroutine[Any, Any, Response]]
Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])


class Admission(Protocol):
    """Knows who has asked too often; None is somebody without a valid credential."""

    async def charge(self, request: Request, caller: Caller | None) -> None:
        """Raises Problem."""


class Idempotency(Protocol):
    """Knows what was answered before."""

    async def answer(
        self, request: Request, caller: Caller, key: str, handle: Handler, *, only_reads: bool
    ) -> Response: ...


def reads_only(endpoint: Endpoint) -> Endpoint:
    """Marks a POST that changes nothing: its key keeps the answer, and nothing is held while it runs."""
    endpoint.__reads_only__ = True  # type: ignore[attr-defined]
    return endpoint


class GuardedRoute(APIRoute):
    """Without it FastAPI would parse the body before it asks any dependency."""

    takes_any_query = False

    def get_route_handler(self) -> Handler:
        handle = super().get_route_handler()
        guards = [each.call for each in self.dependant.dependencies if isinstance(each.call, Guard)]
        reads_body = self.body_field is not None
        known = set(_query_names(self.dependant))
        only_reads = getattr(self.endpoint, "__reads_only__", False)

        async def handle_guarded(request: Request) -> Response:
            await _admit(request, guards)
            if not self.takes_any_query:
                _check_query(request, known)
            if reads_body:
                request = _JsonRequest(request.scope, request.receive)
                await request.parse()
            caller: Caller | None = getattr(request.state, "caller", None)
            key = request.headers.get(IDEMPOTENCY_KEY)
            if key is None or caller is None or request.method != "POST":
                return await handle(request)
            idempotency: Idempotency = request.app.state.idempotency
            return await idempotency.answer(request, caller, key, handle, only_reads=only_reads)

        return handle_guarded


async def _admit(request: Request, guards: Sequence[Guard]) -> None:
    """Who is refused is charged too. Raises Problem."""
    refused: Problem | None = None
    try:
        for guard in guards:
            await guard(request)
    except Problem as problem:
        refused = problem
    admission: Admission = request.app.state.admission
    await admission.charge(request, getattr(request.state, "caller", None))
    if refused is not None:
        raise refused


def _query_names(dependant: Dependant) -> Iterator[str]:
    """Of a route and of what it depends on."""
    for field in dependant.query_params:
        yield field.alias
    for each in dependant.dependencies:
        yield from _query_names(each)


def _check_query(request: Request, known: Collection[str]) -> None:
    """A filter that is not known, or given twice, would silently give other figures than were asked for.

    Raises Problem.
    """
    names = [name for name, _ in request.query_params.multi_items()]
    for name in names:
        if name not in known:
            raise invalid_parameter(name[:MAX_NAME], "there is no such parameter")
        if names.count(name) > 1:
            raise invalid_parameter(name, "must not be given twice")


class _JsonRequest(Request):
    """A request whose body was parsed by orjson, which refuses what is not JSON: NaN, lone surrogates, other bytes
    than UTF-8, endless nesting."""

    async def parse(self) -> None:
        """Raises Problem."""
        self._require_json_type()
        try:
            self._parsed = orjson.loads(await self.body())
        except orjson.JSONDecodeError as error:
            reason = InvalidParameter(name="body", reason=str(error))
            raise Problem(
                ProblemKind.MALFORMED_JSON,
                f"The body cannot be read as JSON: {error}.",
                invalid_parameters=[reason],
            ) from None

    async def json(self) -> Any:
        return self._parsed

    def _require_json_type(self) -> None:
        """A body without a type is taken at its word."""
        media_type = self.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
        if media_type != "application/json":
            raise Problem(ProblemKind.UNSUPPORTED_MEDIA_TYPE, f"Send application/json, not {media_type[:100]}.")

"""The route class of every router: callers are admitted first, then the body is read, as JSON and nothing else."""

from collections.abc import Callable, Coroutine
from typing import Any

import orjson
from fastapi import Request, Response
from fastapi.routing import APIRoute

from control_api.web.authentication import Guard
from control_api.web.problem import Problem
from control_api.web.problem_catalogue import ProblemKind

BODY_PROBLEMS = (
    ProblemKind.MALFORMED_JSON,
    ProblemKind.BODY_TOO_LARGE,
    ProblemKind.UNSUPPORTED_MEDIA_TYPE,
    ProblemKind.INVALID_PARAMETERS,
)
Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class GuardedRoute(APIRoute):
    """Without it FastAPI would parse the body before it asks any dependency."""

    def get_route_handler(self) -> Handler:
        handle = super().get_route_handler()
        guards = [each.call for each in self.dependant.dependencies if isinstance(each.call, Guard)]
        reads_body = self.body_field is not None

        async def handle_guarded(request: Request) -> Response:
            for guard in guards:
                await guard(request)
            if reads_body:
                request = _JsonRequest(request.scope, request.receive)
                await request.parse()
            return await handle(request)

        return handle_guarded


class _JsonRequest(Request):
    """A request whose body was parsed by orjson, which refuses what is not JSON: NaN, lone surrogates, other bytes
    than UTF-8, endless nesting."""

    async def parse(self) -> None:
        """Raises Problem."""
        self._require_json_type()
        try:
            self._parsed = orjson.loads(await self.body())
        except orjson.JSONDecodeError as error:
            raise Problem(ProblemKind.MALFORMED_JSON, f"The body cannot be read as JSON: {error}.") from None

    async def json(self) -> Any:
        return self._parsed

    def _require_json_type(self) -> None:
        """A body without a type is taken at its word."""
        media_type = self.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
        if media_type != "application/json":
            raise Problem(ProblemKind.UNSUPPORTED_MEDIA_TYPE, f"Send application/json, not {media_type[:100]}.")

"""A bound on request bodies, whether or not they announce their length."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from control_api.web.problem import Problem, problem_response
from control_api.web.problem_catalogue import ProblemKind


class BodyLimit:
    """ASGI middleware. An announced length is refused unread; what comes in chunks is counted as it is read.

    The server reads on and drops the rest, so that the sender gets to see the answer.
    """

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif _announced_length(scope) > self._max_bytes:
            await problem_response(scope, self._problem())(scope, receive, send)
        else:
            await self._app(scope, self._bounded(receive), send)

    def _bounded(self, receive: Receive) -> Receive:
        read = 0

        async def receive_bounded() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > self._max_bytes:
                raise self._problem()
            return message

        return receive_bounded

    def _problem(self) -> Problem:
        return Problem(ProblemKind.BODY_TOO_LARGE, f"A body may have at most {self._max_bytes} bytes.")


def _announced_length(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value)
    return 0

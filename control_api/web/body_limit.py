"""Bounds on request bodies: how large, whether or not they announce it, and how slow."""

import asyncio
from collections.abc import Mapping

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from control_api.web.problem import Problem, problem_response
from control_api.web.problem_catalogue import ProblemKind

BODY_S = 15.0
MIN_BYTES_PER_S = 10_000


class BodyLimit:
    """ASGI middleware. An announced length is refused unread; what comes in chunks is counted as it is read.
    Who sends slower than MIN_BYTES_PER_S, with BODY_S to begin with, is not waited for.

    The server reads on and drops the rest, so that the sender gets to see the answer.
    """

    def __init__(self, app: ASGIApp, max_bytes: int, by_path: Mapping[str, int] | None = None) -> None:
        """`by_path`: other bounds than `max_bytes`, by the paths that have one."""
        self._app = app
        self._max_bytes = max_bytes
        self._by_path = by_path or {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        max_bytes = self._by_path.get(scope["path"], self._max_bytes)
        if _announced_length(scope) > max_bytes:
            await problem_response(scope, _problem(max_bytes))(scope, receive, send)
        else:
            await self._app(scope, _bounded(receive, max_bytes), send)


def _bounded(receive: Receive, max_bytes: int) -> Receive:
    now = asyncio.get_running_loop().time
    began, read, is_whole = now(), 0, False

    async def receive_bounded() -> Message:
        nonlocal read, is_whole
        try:
            async with asyncio.timeout_at(None if is_whole else began + BODY_S + read / MIN_BYTES_PER_S):
                message = await receive()
        except TimeoutError:
            raise _too_slow() from None
        is_whole = not message.get("more_body", False)
        read += len(message.get("body", b""))
        if read > max_bytes:
            raise _problem(max_bytes)
        return message

    return receive_bounded


def _too_slow() -> Problem:
    detail = f"A body has {BODY_S:.0f} seconds, and one more for every {MIN_BYTES_PER_S} bytes."
    return Problem(ProblemKind.REQUEST_TIMEOUT, detail, headers={"Connection": "close"})


def _problem(max_bytes: int) -> Problem:
    return Problem(ProblemKind.BODY_TOO_LARGE, f"A body may have at most {max_bytes} bytes.")


def _announced_length(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value)
    return 0

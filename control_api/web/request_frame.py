"""The frame around every request: its id, its log line, its metrics, and the last answer to what nobody handled."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog
from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from control_api.web.authentication import Caller
from control_api.web.problem import Problem, problem_response
from control_api.web.problem_catalogue import ProblemKind
from control_api.web.request_id import HEADER, request_id_from
from control_api.web.request_metrics import RequestMetrics
from scanhop.telemetry.logs import get_logger

UNMATCHED = "unmatched"
CLIENT_WENT_AWAY = 499
_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


@dataclass(frozen=True)
class FinishedRequest:
    """`route` is the template of the path; `caller` None: nobody with a valid credential."""

    request_id: str
    caller: Caller | None
    method: str
    route: str
    status: int
    seconds: float
    sent_bytes: int


class RequestFrame:
    """ASGI middleware, outside of everything else of ours. `on_finished` hears of every request when it is over."""

    def __init__(self, app: ASGIApp, metrics: RequestMetrics, on_finished: Callable[[FinishedRequest], None]) -> None:
        self._app = app
        self._metrics = metrics
        self._on_finished = on_finished

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = request_id_from(scope["headers"])
        with structlog.contextvars.bound_contextvars(request_id=request_id):
            scope = dict(scope)  # what is changed inside is seen here, and not by the server
            await self._answer(scope, receive, _Answer(scope, send, request_id))

    async def _answer(self, scope: Scope, receive: Receive, answer: "_Answer") -> None:
        started, method = time.perf_counter(), scope["method"]
        try:
            await self._app(scope, receive, answer.send)
        except ClientDisconnect:
            answer.status = CLIENT_WENT_AWAY
        except Exception:  # noqa: BLE001 - the last place that can answer
            get_logger().exception("request_failed")
            if not answer.started:
                problem = Problem(ProblemKind.INTERNAL_ERROR, "It was logged under this answer's X-Request-Id.")
                await problem_response(scope, problem)(scope, receive, answer.send)
        finally:
            self._record(method, scope, answer, time.perf_counter() - started)

    def _record(self, method: str, scope: Scope, answer: "_Answer", seconds: float) -> None:
        route, status = getattr(scope.get("route"), "path", UNMATCHED), answer.status
        self._metrics.record_request(method, route, status, seconds)
        get_logger().info("request", method=method, route=route, status=status, duration_ms=round(seconds * 1000, 1))
        caller = scope.get("state", {}).get("caller")
        self._on_finished(
            FinishedRequest(answer.request_id, caller, method, route, status, seconds, answer.sent_bytes)
        )


class _Answer:
    """What was sent so far; adds the headers that every answer carries, and those in
    `request.state.answer_headers`."""

    def __init__(self, scope: Scope, send: Send, request_id: str) -> None:
        self._scope = scope
        self._send = send
        self.request_id = request_id
        self.sent_bytes = 0
        self.status = 500
        self.started = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers[HEADER] = self.request_id
            headers.update(self._scope.get("state", {}).get("answer_headers", {}))
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
        self.sent_bytes += len(message.get("body", b""))
        await self._send(message)

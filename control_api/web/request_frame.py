"""The frame around every request: its id, its log line, its metrics, and the last answer to what nobody handled."""

import time

import structlog
from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from control_api.web.problem import Problem, problem_response
from control_api.web.problem_catalogue import ProblemKind
from control_api.web.request_id import HEADER, request_id_from
from control_api.web.request_metrics import RequestMetrics
from scanhop.telemetry.logs import get_logger

UNMATCHED = "unmatched"
CLIENT_WENT_AWAY = 499
_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


class RequestFrame:
    """ASGI middleware, outside of everything else of ours."""

    def __init__(self, app: ASGIApp, metrics: RequestMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = request_id_from(scope["headers"])
        with structlog.contextvars.bound_contextvars(request_id=request_id):
            await self._answer(scope, receive, _Answer(scope, send, request_id))

    async def _answer(self, scope: Scope, receive: Receive, answer: "_Answer") -> None:
        started = time.perf_counter()
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
            self._record(scope, answer.status, time.perf_counter() - started)

    def _record(self, scope: Scope, status: int, seconds: float) -> None:
        method, route = scope["method"], getattr(scope.get("route"), "path", UNMATCHED)
        self._metrics.record_request(method, route, status, seconds)
        get_logger().info("request", method=method, route=route, status=status, duration_ms=round(seconds * 1000, 1))


class _Answer:
    """What was sent so far; adds the headers that every answer carries, and those in
    `request.state.answer_headers`."""

    def __init__(self, scope: Scope, send: Send, request_id: str) -> None:
        self._scope = scope
        self._send = send
        self._request_id = request_id
        self.status = 500
        self.started = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers[HEADER] = self._request_id
            headers.update(self._scope.get("state", {}).get("answer_headers", {}))
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
        await self._send(message)

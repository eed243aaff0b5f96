"""From finished requests to rows: see the package's invariants."""

import asyncio
from collections import deque
from contextlib import suppress
from uuid import uuid4

from control_api.clock import Clock, new_id
from control_api.request_log.model import LoggedRequest
from control_api.request_log.repository import RequestRepository
from control_api.web.authentication import Member
from control_api.web.request_frame import FinishedRequest
from control_api.web.request_metrics import RequestMetrics
from control_api.web.unlimited import UNLIMITED
from scanhop.stores.errors import StoreRejected, StoreUnavailable
from scanhop.telemetry.logs import get_logger

MAX_WAITING = 20_000
BATCH = 2_000
EVERY_S = 1.0
LONGEST_PAUSE_S = 30.0
DRAIN_S = 2.0

_log = get_logger()


class RequestLog:
    """`record` from any request; `run` once, beside them; `close` at the end."""

    def __init__(self, repository: RequestRepository, metrics: RequestMetrics, clock: Clock) -> None:
        self._repository = repository
        self._metrics = metrics
        self._clock = clock
        self._waiting: deque[LoggedRequest] = deque()
        self._closing = asyncio.Event()

    def record(self, finished: FinishedRequest) -> None:
        if finished.route in UNLIMITED:
            return
        if len(self._waiting) >= MAX_WAITING:
            self._metrics.record_log_rows("buffer_full", 1)
            return
        now, caller = self._clock(), finished.caller
        self._waiting.append(
            LoggedRequest(
                time=now,
                id=new_id(now),
                request_id=finished.request_id,
                workspace_id=getattr(caller, "workspace_id", None),
                user_id=getattr(caller, "user_id", None),
                key_id=getattr(caller, "key_id", None) or "",
                is_admin=_asks_as_admin(finished),
                method=finished.method,
                route=finished.route,
                status=finished.status,
                duration_ms=round(finished.seconds * 1_000, 1),
                sent_bytes=finished.sent_bytes,
            )
        )

    async def run(self) -> None:
        """Until `close`, and then what still waits."""
        while True:
            is_last = self._closing.is_set()
            await self._write_waiting()
            if is_last:
                break
            await self._pause(EVERY_S)
        dropped = len(self._waiting)
        if dropped:
            self._metrics.record_log_rows("shutdown", dropped)
            _log.warning("request_log_dropped", rows=dropped, reason="shutdown")

    async def close(self) -> None:
        self._closing.set()

    async def _write_waiting(self) -> None:
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
            if not await self._write(batch):
                return

    async def _write(self, batch: list[LoggedRequest]) -> bool:
        """Whether to go on. A batch is sent until ClickHouse takes it or refuses it, or the process ends."""
        token, pause_s = str(uuid4()), EVERY_S
        while True:
            is_last = self._closing.is_set()
            try:
                async with asyncio.timeout(DRAIN_S if is_last else None):
                    await self._repository.insert(batch, token)
            except StoreRejected as error:
                self._metrics.record_log_rows("refused", len(batch))
                _log.error("request_log_refused", rows=len(batch), error=str(error))
                return True
            except (StoreUnavailable, TimeoutError) as error:
                if is_last:
                    self._waiting.extendleft(reversed(batch))
                    return False
                _log.warning("request_log_waits", rows=len(self._waiting) + len(batch), error=str(error))
                await self._pause(pause_s)
                pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
            else:
                self._metrics.record_log_rows("written", len(batch))
                return True

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._closing.wait()


def _asks_as_admin(finished: FinishedRequest) -> bool:
    """By the platform-admin key, or signed in."""
    if isinstance(finished.caller, Member):
        return finished.caller.is_platform_admin and finished.route.startswith("/v1/admin/")
    return finished.caller is not None

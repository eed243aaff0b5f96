"""New scans as they arrive, for all listeners of the process by one poll of ClickHouse.

A batch of scans becomes visible at once, some time after it was made: so the poll looks WINDOW_S back and leaves out
the batches that it has seen. Who resumes gets what was missed first, MAX_MISSED scans and one hour at most;
what arrives meanwhile waits in its queue, and is left out where it was among the missed.

Memory is bounded: a listener whose queue is full, because it reads too slowly, is ended, and may resume; of a poll
that finds more than MAX_POLLED scans of a workspace the rest is not shown (`skipped` says so, there). ClickHouse
away: listeners hear heartbeats, and the scans once it is back. The poll runs while somebody listens, and ends with
`close`.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from control_api.analytics.period import unix_ms
from control_api.analytics.scan_store import ScanStore
from control_api.analytics.slots import Slots
from control_api.clock import Clock
from control_api.web.problem import Problem
from scanhop.stores.errors import StoreError
from scanhop.telemetry.logs import get_logger
from scanhop.wire.ids import WorkspaceId

POLL_S = 1.0
HEARTBEAT_S = 15.0
WINDOW_S = 60.0
MAX_POLLED = 5000
MAX_MISSED = 5000
MAX_QUEUED = 2 * MAX_POLLED
RESUMES_WITHIN = timedelta(hours=1)
FIELDS = (
    *("workspace_id", "batch_id", "event_id", "received_at", "scanned_at", "qr_id", "project_id", "short_code"),
    *("outcome", "is_bot", "bot_reason", "rule_id", "variant", "country", "region", "city", "language"),
    *("device_type", "os", "browser", "referer"),
)


@dataclass(frozen=True)
class Place:
    """The last scan that a listener had."""

    received_at: datetime
    event_id: UUID


@dataclass(frozen=True)
class LiveScan:
    """`shown`: its fields, without workspace and batch."""

    place: Place
    workspace_id: UUID
    batch_id: UUID
    shown: dict[str, Any]


@dataclass(frozen=True)
class Heartbeat:
    """Nothing happened for a while."""


@dataclass(frozen=True)
class Skipped:
    """More scans arrived than are shown."""


Event = LiveScan | Heartbeat | Skipped
_END = None


@dataclass(eq=False)
class _Listener:
    workspace_id: WorkspaceId
    queue: asyncio.Queue[LiveScan | Skipped | None] = field(default_factory=lambda: asyncio.Queue(MAX_QUEUED + 2))

    def put(self, event: LiveScan | Skipped) -> None:
        """Ends a listener that is too slow."""
        if self.queue.qsize() < MAX_QUEUED:
            self.queue.put_nowait(event)
        else:
            self.end()

    def end(self) -> None:
        if not self.queue.full():
            self.queue.put_nowait(_END)


class LiveScans:
    """`listen` raises Problem (too_many_streams), StoreUnavailable."""

    def __init__(self, store: ScanStore, slots: Slots[WorkspaceId], clock: Clock) -> None:
        self._store = store
        self._slots = slots
        self._clock = clock
        self._listeners: set[_Listener] = set()
        self._seen: dict[UUID, datetime] = {}
        self._polling: asyncio.Task[None] | None = None
        self._closing = False

    @asynccontextmanager
    async def listen(self, workspace_id: WorkspaceId, after: Place | None) -> AsyncIterator[AsyncIterator[Event]]:
        """The workspace's scans from now on, or those after `after`."""
        with self._slots.hold(workspace_id):
            listener = _Listener(workspace_id)
            self._listeners.add(listener)
            try:
                known, missed = await self._catch_up(workspace_id, after)
                if self._closing:
                    listener.end()
                elif self._polling is None:
                    self._polling = asyncio.create_task(self._poll_while_listened())
                yield _events(listener, known, missed)
            finally:
                self._listeners.discard(listener)

    def close(self) -> None:
        """Ends every listener, so that the process can drain."""
        self._closing = True
        for listener in self._listeners:
            listener.end()

    async def _catch_up(
        self, workspace_id: WorkspaceId, after: Place | None
    ) -> tuple[set[UUID], Sequence[LiveScan | Skipped]]:
        """(batches not to be shown from the poll, what was missed)."""
        now = self._clock()
        usual = {"workspace_id": str(workspace_id), "since_ms": unix_ms(now - timedelta(seconds=2 * WINDOW_S))}
        known = {batch for (batch,) in await self._store.list_by_name("list_recent_batches", usual)}
        if after is None:
            return known, []
        since = max(after.received_at, now - RESUMES_WITHIN)
        place = {"after_ms": unix_ms(after.received_at), "after_id": str(after.event_id), "limit": MAX_MISSED + 1}
        rows = await self._store.list_by_name("list_missed_scans", usual | place | {"since_ms": unix_ms(since)})
        missed: list[LiveScan | Skipped] = [_scan(row) for row in rows[:MAX_MISSED]]
        if len(rows) > MAX_MISSED or since > after.received_at:
            missed.append(Skipped())
        return known | {scan.batch_id for scan in missed if isinstance(scan, LiveScan)}, missed

    async def _poll_while_listened(self) -> None:
        since = self._clock()
        try:
            while self._listeners and not self._closing:
                started = self._clock()
                if await self._poll(since - timedelta(seconds=WINDOW_S)):
                    since = started
                await asyncio.sleep(POLL_S)
        finally:
            self._polling = None
            self._seen.clear()
            for listener in self._listeners:  # none, unless the poll failed for good
                listener.end()

    async def _poll(self, since: datetime) -> bool:
        """Whether ClickHouse answered."""
        self._seen = {batch: at for batch, at in self._seen.items() if at >= since}
        asked = {
            "workspace_ids": sorted({str(listener.workspace_id) for listener in self._listeners}),
            "since_ms": unix_ms(since),
            "seen": [str(batch) for batch in self._seen],
            "limit": MAX_POLLED + 1,
        }
        try:
            rows = await self._store.list_by_name("list_new_scans", asked)
        except (StoreError, Problem) as error:
            get_logger().warning("live_poll_failed", error=str(error))
            return False
        found: defaultdict[UUID, list[LiveScan]] = defaultdict(list)
        for scan in map(_scan, rows):
            found[scan.workspace_id].append(scan)
            self._seen[scan.batch_id] = scan.place.received_at
        for listener in self._listeners:
            scans = found[listener.workspace_id]
            for scan in scans[:MAX_POLLED]:
                listener.put(scan)
            if len(scans) > MAX_POLLED:
                listener.put(Skipped())
        return True


async def _events(
    listener: _Listener, known: set[UUID], missed: Sequence[LiveScan | Skipped]
) -> AsyncIterator[Event]:
    yield Heartbeat()
    for each in missed:
        yield each
    while True:
        try:
            event = await asyncio.wait_for(listener.queue.get(), HEARTBEAT_S)
        except TimeoutError:
            yield Heartbeat()
            continue
        if event is _END:
            return
        if not (isinstance(event, LiveScan) and event.batch_id in known):
            yield event


def _scan(row: Sequence[Any]) -> LiveScan:
    values = dict(zip(FIELDS, row, strict=True))
    for name in ("received_at", "scanned_at"):
        values[name] = values[name].replace(tzinfo=UTC)
    for name in ("qr_id", "project_id"):
        values[name] = values[name] if values[name].int else None
    place = Place(values["received_at"], values["event_id"])
    return LiveScan(place, values.pop("workspace_id"), values.pop("batch_id"), values)

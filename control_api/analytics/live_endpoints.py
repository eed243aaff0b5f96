"""GET /v1/analytics/live: new scans as server-sent events."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Annotated
from uuid import UUID

import orjson
from fastapi import APIRouter, Depends, Header, Query, Request, Response

from control_api.analytics.live import Event, Heartbeat, LiveScan, LiveScans, Place, Skipped
from control_api.analytics.period import unix_ms
from control_api.analytics.streamed_answer import StreamedAnswer, open_stream
from control_api.web.authentication import MEMBER_PROBLEMS, Member, requires
from control_api.web.guarded_route import GuardedRoute
from control_api.web.problem import invalid_parameter, problem_responses
from control_api.web.problem_catalogue import ProblemKind
from scanhop.wire.ids import WorkspaceId

router = APIRouter(route_class=GuardedRoute, tags=["analytics"])
Reader = Annotated[Member, requires("analytics:read")]
_ID = re.compile(r"(\d{1,14})-([0-9a-f-]{36})", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_RETRY = b"retry: 3000\n\n"


def _live(request: Request) -> LiveScans:
    live: LiveScans = request.app.state.live
    return live


@router.get(
    "/v1/analytics/live",
    summary="Hear of scans as they arrive",
    response_class=Response,
    responses={
        200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}},
        **problem_responses(
            *MEMBER_PROBLEMS,
            ProblemKind.INVALID_PARAMETERS,
            ProblemKind.TOO_MANY_STREAMS,
            ProblemKind.STORE_UNAVAILABLE,
        ),
    },
)
async def listen_to_scans(
    caller: Reader,
    live: Annotated[LiveScans, Depends(_live)],
    qr_id: Annotated[UUID | None, Query(description="Of this code only")] = None,
    include_bots: Annotated[bool, Query(description="And what is no redirect, too, as `outcome` says")] = False,
    last_event_id: Annotated[str | None, Header(description="The id of the last event that was had")] = None,
) -> Response:
    """Server-sent events: `scan` with the scan as JSON, `skipped` where there were more than are shown, and a comment
    every 15 seconds. With `Last-Event-ID` what was missed comes first, as far as it is an hour old at most.
    """
    after = None if not last_event_id else _parse_place(last_event_id)
    source = _sent(live, caller.workspace_id, after, qr_id, include_bots=include_bots)
    stream = await open_stream(source, _RETRY)
    return StreamedAnswer(stream, "text/event-stream", {"X-Accel-Buffering": "no"})


@asynccontextmanager
async def _sent(
    live: LiveScans, workspace_id: WorkspaceId, after: Place | None, qr_id: UUID | None, *, include_bots: bool
) -> AsyncIterator[AsyncIterator[bytes]]:
    async with live.listen(workspace_id, after) as events:

        async def texts() -> AsyncIterator[bytes]:
            async for event in events:
                if not isinstance(event, LiveScan) or _is_wanted(event, qr_id, include_bots=include_bots):
                    yield _text(event)

        yield texts()


def _is_wanted(scan: LiveScan, qr_id: UUID | None, *, include_bots: bool) -> bool:
    counted = scan.shown["outcome"] == "redirect" and not scan.shown["is_bot"]
    return (counted or include_bots) and qr_id in (None, scan.shown["qr_id"])


def _text(event: Event) -> bytes:
    match event:
        case Heartbeat():
            return b": heartbeat\n\n"
        case Skipped():
            return b"event: skipped\ndata: {}\n\n"
        case LiveScan(place=place, shown=shown):
            name = f"{unix_ms(place.received_at)}-{place.event_id}"
            return b"event: scan\nid: %s\ndata: %s\n\n" % (
                name.encode(),
                orjson.dumps(shown, option=orjson.OPT_UTC_Z),
            )


def _parse_place(text: str) -> Place:
    """Raises Problem."""
    found = _ID.fullmatch(text)
    try:
        if found is None:
            raise ValueError(text)
        return Place(_EPOCH + timedelta(milliseconds=int(found[1])), UUID(found[2]))
    except (ValueError, OverflowError):
        raise invalid_parameter("last-event-id", "must be the id of an event as it was sent") from None

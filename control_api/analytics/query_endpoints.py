"""POST /v1/query: scans or figures of scans, as a page of JSON or as a stream of CSV or NDJSON."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Request, Response

from control_api.analytics.period import InvalidPeriod
from control_api.analytics.query_schemas import QueryAnswer, QueryBody
from control_api.analytics.query_service import (
    Place,
    ScanQueries,
    bad_cursor,
    encode_place,
    fingerprint,
    parse_place,
)
from control_api.analytics.question import Question
from control_api.analytics.scan_store import EXPORT_BOUNDS, Format
from control_api.analytics.streamed_answer import Chunks, StreamedAnswer, open_stream
from control_api.credits.charging import Charging, Meter, costs
from control_api.identity.service import Workspaces
from control_api.web.authentication import MEMBER_PROBLEMS, Member, requires
from control_api.web.guarded_route import BODY_PROBLEMS, GuardedRoute, reads_only
from control_api.web.problem import invalid_parameter, problem_responses
from control_api.web.problem_catalogue import ProblemKind

router = APIRouter(route_class=GuardedRoute, tags=["analytics"])
Reader = Annotated[Member, requires("analytics:read")]
EXPORT_TAKES = timedelta(seconds=2 * EXPORT_BOUNDS["max_execution_time"])
AnswerFormat = Literal["json", "csv", "ndjson"]
_MEDIA_TYPES = {"text/csv": "csv", "application/x-ndjson": "ndjson", "application/json": "json", "*/*": "json"}
_FORMATS: dict[str, tuple[Format, str]] = {
    "csv": ("CSV", "text/csv; charset=utf-8"),
    "ndjson": ("JSONEachRow", "application/x-ndjson"),
}


def _queries(request: Request) -> ScanQueries:
    queries: ScanQueries = request.app.state.scan_queries
    return queries


def _workspaces(request: Request) -> Workspaces:
    workspaces: Workspaces = request.app.state.workspaces
    return workspaces


@router.post(
    "/v1/query",
    summary="Ask about scans",
    response_model=QueryAnswer,
    responses={
        200: {
            "content": {
                "text/csv": {"schema": {"type": "string"}},
                "application/x-ndjson": {"schema": {"type": "string"}},
            }
        },
        **problem_responses(
            *MEMBER_PROBLEMS,
            *BODY_PROBLEMS,
            ProblemKind.BAD_CURSOR,
            ProblemKind.INSUFFICIENT_CREDITS,
            ProblemKind.QUERY_TOO_EXPENSIVE,
            ProblemKind.TOO_MANY_STREAMS,
            ProblemKind.STORE_UNAVAILABLE,
        ),
    },
)
@reads_only
@costs("api.query")
async def query_scans(  # noqa: PLR0913 - FastAPI hands over each by name
    asked: QueryBody,
    caller: Reader,
    request: Request,
    queries: Annotated[ScanQueries, Depends(_queries)],
    workspaces: Annotated[Workspaces, Depends(_workspaces)],
    answer_format: Annotated[
        AnswerFormat | None, Query(alias="format", description="Default: what `Accept` names, else json")
    ] = None,
) -> QueryAnswer | Response:
    """Counted scans, unless fields say otherwise: who names outcome asks for all outcomes, who names is_bot or
    bot_reason, for bots, too.

    csv and ndjson answer everything, without pages: scans code by code, each from the oldest. An export that breaks
    off in the middle breaks the connection. In csv a text that a spreadsheet would run begins with an apostrophe.
    """
    asked_text = fingerprint(asked.asked())
    wanted = answer_format or _accepted(request)
    place = None if asked.cursor is None or wanted != "json" else parse_place(asked.cursor, asked_text)
    zone = asked.timezone or (await workspaces.get(caller.workspace_id)).timezone
    try:
        question = asked.question(caller.workspace_id, zone, request.app.state.clock(), place)
    except InvalidPeriod as error:
        if place is not None and error.name in ("from", "to"):
            raise bad_cursor() from None
        raise invalid_parameter(error.name, str(error)) from None
    if wanted != "json":
        charging: Charging = request.app.state.charging
        return await _export(_paid_by_row(charging, caller, queries, question, wanted), question, wanted)
    data, after = await queries.list_page(question, None if place is None else place.after, asked.limit)
    period = question.period
    cursor = None if after is None else encode_place(Place(asked_text, period.start, period.end, after))
    return QueryAnswer.of(question, data, cursor)


@asynccontextmanager
async def _paid_by_row(
    charging: Charging, caller: Member, queries: ScanQueries, question: Question, wanted: AnswerFormat
) -> AsyncIterator[AsyncIterator[bytes]]:
    """Whoever has the price of every row may begin."""
    metered = charging.metered(caller, "export.row", lambda: queries.count_rows(question), EXPORT_TAKES)
    async with metered as meter, queries.stream(question, _FORMATS[wanted][0]) as chunks:
        yield _counted(chunks, meter, wanted)


async def _counted(chunks: AsyncIterator[bytes], meter: Meter, wanted: AnswerFormat) -> AsyncIterator[bytes]:
    """A row is a line, whose end is not between quotes: in CSV a text may have lines of its own."""
    quoted = 0
    async for chunk in chunks:
        parts = chunk.split(b'"') if wanted == "csv" else [chunk]
        meter.units += sum(part.count(b"\n") for part in parts[quoted::2])
        quoted = (quoted + len(parts) - 1) % 2
        yield chunk


async def _export(rows: Chunks, question: Question, wanted: AnswerFormat) -> Response:
    _, media_type = _FORMATS[wanted]
    head = (",".join(question.columns) + "\n").encode() if wanted == "csv" else b""
    stream = await open_stream(rows, head)
    name = f'attachment; filename="scans.{wanted}"'
    return StreamedAnswer(stream, media_type, {"Content-Disposition": name})


def _accepted(request: Request) -> AnswerFormat:
    """The first media type of `Accept` that we can answer in; their weights are not looked at."""
    for each in request.headers.get("accept", "").lower().split(","):
        found = _MEDIA_TYPES.get(each.partition(";")[0].strip())
        if found is not None:
            return found  # type: ignore[return-value]
    return "json"

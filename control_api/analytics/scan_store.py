"""Runs statements on scans: each bounded in time, memory and rows; what goes beyond is the caller's problem, told so.

ClickHouse away: StoreUnavailable. A failure in mid-stream reaches the reader of the stream as StoreUnavailable, never
as an early end: ClickHouse writes it between carriage returns, of which our formats have none.
"""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Literal

import orjson
from clickhouse_connect.driver.exceptions import DatabaseError

from control_api.web.problem import Problem
from control_api.web.problem_catalogue import ProblemKind
from scanhop.stores.clickhouse import ClickHouse, clickhouse_errors
from scanhop.stores.errors import StoreRejected, StoreUnavailable
from scanhop.stores.sql import load_queries

BOUNDS: Mapping[str, Any] = {
    "max_execution_time": 10,
    "max_memory_usage": 1 << 30,
    "max_rows_to_read": 500_000_000,
    "cancel_http_readonly_queries_on_client_close": 1,
}
EXPORT_BOUNDS = {**BOUNDS, "max_execution_time": 3600, "max_memory_usage": 2 << 30}
_FORMAT = {
    "date_time_output_format": "iso",
    "format_csv_null_representation": "",
    "output_format_json_quote_64bit_integers": 0,
    "output_format_json_escape_forward_slashes": 0,
}
_TOTAL = "(total)"  # the memory of the whole server: not the question's fault
_TOO_EXPENSIVE = {158: "rows", 159: "time", 160: "time", 241: "memory", 307: "bytes", 396: "rows"}
_FAILURE = b"\r"

Format = Literal["CSV", "JSONEachRow"]


class ScanStore:
    """Reads its named statements once. Raises Problem (query_too_expensive), StoreUnavailable."""

    def __init__(self, clickhouse: ClickHouse) -> None:
        self._clickhouse = clickhouse
        self._sql = load_queries("control_api.analytics")

    async def list_by_name(self, name: str, parameters: Mapping[str, Any]) -> Sequence[Any]:
        """The rows of a statement of queries.sql."""
        return await self.list_rows(self._sql[name], parameters)

    async def list_rows(self, sql: str, parameters: Mapping[str, Any]) -> Sequence[Any]:
        client = await self._clickhouse.client()
        with scan_errors():
            answer = await client.query(sql, parameters=dict(parameters), settings=dict(BOUNDS))
        return answer.result_rows

    async def list_objects(self, sql: str, parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The rows as ClickHouse writes them in JSON."""
        client = await self._clickhouse.client()
        settings = {**BOUNDS, **_FORMAT, "wait_end_of_query": 1}
        with scan_errors():
            text = await client.raw_query(sql, parameters=dict(parameters), settings=settings, fmt="JSONEachRow")
        _require_whole(text)
        return [orjson.loads(line) for line in text.splitlines()]

    @asynccontextmanager
    async def stream(
        self, sql: str, parameters: Mapping[str, Any], form: Format
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """The rows as bytes, as they come, no faster than they are read. Left early, the statement is ended."""
        client = await self._clickhouse.client()
        settings = {**EXPORT_BOUNDS, **_FORMAT}
        with scan_errors():
            source = await client.raw_stream(sql, parameters=dict(parameters), settings=settings, fmt=form)
            async with source as chunks:
                yield _whole(chunks)


@contextmanager
def scan_errors() -> Iterator[None]:
    """clickhouse_errors, and a problem for a question that goes beyond its bounds."""
    try:
        with clickhouse_errors():
            yield
    except (StoreUnavailable, StoreRejected) as error:
        cause = error.__cause__
        what = _TOO_EXPENSIVE.get(cause.code or 0) if isinstance(cause, DatabaseError) else None
        if what is None or _TOTAL in str(cause):
            raise
        raise _too_expensive(what) from error


def _too_expensive(what: str) -> Problem:
    detail = f"The question needs more {what} than one may take: ask for a shorter period, fewer groups or a filter."
    return Problem(ProblemKind.QUERY_TOO_EXPENSIVE, detail)


async def _whole(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    async for chunk in chunks:
        _require_whole(chunk)
        yield chunk


def _require_whole(text: bytes) -> None:
    if _FAILURE in text:
        raise StoreUnavailable(f"clickhouse: failed in mid-result: {text[text.index(_FAILURE) :][:500]!r}")

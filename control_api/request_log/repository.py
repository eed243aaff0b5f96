"""Requests in ClickHouse."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import orjson

from control_api.request_log.model import LogFilter, LoggedRequest
from control_api.web.paging import PageRequest
from scanhop.stores.clickhouse import ClickHouse, clickhouse_errors
from scanhop.stores.sql import load_queries
from scanhop.wire.ids import ZERO_UUID, WorkspaceId

BOUNDS = {"max_execution_time": 10, "max_memory_usage": 1 << 30}
INSERT = {"async_insert": 0, "insert_deduplicate": 1, "wait_end_of_query": 1, "send_progress_in_http_headers": 0}
TABLE = "api_requests"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST = datetime(2200, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_LAST_ID = UUID(int=(1 << 128) - 1)


class RequestRepository:
    """Reads its statements once. Raises StoreUnavailable, StoreRejected."""

    def __init__(self, clickhouse: ClickHouse) -> None:
        self._clickhouse = clickhouse
        self._sql = load_queries("control_api.request_log")

    async def insert(self, requests: Sequence[LoggedRequest], token: str) -> None:
        """As one block; a second time under the same token it changes nothing."""
        rows = [_row_from(request) for request in requests]
        client = await self._clickhouse.client()
        with clickhouse_errors():
            await client.raw_insert(
                TABLE,
                column_names=list(rows[0]),
                insert_block=b"\n".join(orjson.dumps(row, default=str) for row in rows),
                settings=INSERT | {"insert_deduplication_token": token},
                fmt="JSONEachRow",
            )

    async def list_one(self, workspace_id: WorkspaceId, wanted: LogFilter, page: PageRequest) -> list[LoggedRequest]:
        """One more than the page holds, where there are more."""
        parameters = _parameters(wanted, page) | {"workspace_id": str(workspace_id)}
        return await self._list("list_requests", parameters)

    async def list_all(self, user_id: UUID | None, wanted: LogFilter, page: PageRequest) -> list[LoggedRequest]:
        """`user_id` None: of everybody."""
        parameters = _parameters(wanted, page) | {"user_id": str(user_id or ZERO_UUID)}
        return await self._list("list_all_requests", parameters)

    async def _list(self, name: str, parameters: Mapping[str, Any]) -> list[LoggedRequest]:
        client = await self._clickhouse.client()
        with clickhouse_errors():
            answer = await client.query(self._sql[name], parameters=dict(parameters), settings=BOUNDS)
        return [_request_from(dict(zip(answer.column_names, row, strict=True))) for row in answer.result_rows]


def _row_from(request: LoggedRequest) -> dict[str, Any]:
    return vars(request) | {
        "time": request.time.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f"),
        "workspace_id": request.workspace_id or ZERO_UUID,
        "user_id": request.user_id or ZERO_UUID,
    }


def _request_from(row: dict[str, Any]) -> LoggedRequest:
    for name in ("workspace_id", "user_id"):
        row[name] = None if row[name] == ZERO_UUID else row[name]
    row["time"] = row["time"].replace(tzinfo=UTC)
    row["duration_ms"] = round(row["duration_ms"], 1)
    return LoggedRequest(**row)


def _parameters(wanted: LogFilter, page: PageRequest) -> dict[str, Any]:
    least, greatest = wanted.statuses or (0, 999)
    return {
        "start_us": _unix_us(wanted.start or _EPOCH),
        "end_us": _unix_us(min(wanted.end or _LATEST, _LATEST)),
        "after_us": _unix_us(min(page.after.created_at, _LATEST) if page.after else _LATEST),
        "after_id": str(page.after.id if page.after else _LAST_ID),
        "method": wanted.method or "",
        "route": wanted.route or "",
        "least_status": least,
        "greatest_status": greatest,
        "key_id": wanted.key_id or "",
        "limit": page.limit + 1,
    }


def _unix_us(at: datetime) -> int:
    return min(max((at - _EPOCH) // _MICROSECOND, 0), (_LATEST - _EPOCH) // _MICROSECOND)

"""The request log as JSON."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from fastapi import Depends, Query
from pydantic import BaseModel, Field

from control_api.request_log.model import LogFilter, LoggedRequest
from control_api.web.moment import AskedRange
from control_api.web.paging import Page

_TEXT = r"^[\x21-\x7e]{1,200}$"
Method = Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


class LoggedRequestAnswer(BaseModel):
    """A request that was answered."""

    time: datetime
    request_id: str = Field(description="The `X-Request-Id` of its answer")
    workspace_id: UUID | None
    user_id: UUID | None
    key_id: str | None = Field(description="null: it came without a key", examples=["mbj2oucwjoxzdcvf"])
    method: str = Field(examples=["GET"])
    route: str = Field(description="The template of the path", examples=["/v1/qr-codes/{qr_id}"])
    status: int = Field(examples=[200])
    duration_ms: float = Field(examples=[3.4])
    sent_bytes: int = Field(description="Length of the answer's body", examples=[512])

    @classmethod
    def of(cls, request: LoggedRequest) -> "LoggedRequestAnswer":
        return cls(**{name: getattr(request, name) for name in cls.model_fields} | {"key_id": request.key_id or None})


class LogPage(BaseModel):
    """Requests, newest first."""

    data: list[LoggedRequestAnswer]
    next_cursor: str | None

    @classmethod
    def of(cls, page: Page[LoggedRequest]) -> "LogPage":
        return cls(data=[LoggedRequestAnswer.of(each) for each in page.items], next_cursor=page.next_cursor)


def _asked_filter(
    asked: AskedRange,
    method: Annotated[Method | None, Query(description="Only this one")] = None,
    route: Annotated[
        str | None, Query(pattern=_TEXT, description="Only this template of a path", examples=["/v1/qr-codes"])
    ] = None,
    status: Annotated[
        str | None,
        Query(pattern="^[2-5](xx|[0-9]{2})$", description="Only this status, or this class", examples=["404", "4xx"]),
    ] = None,
    key_id: Annotated[str | None, Query(pattern=_TEXT, description="Only what came with this key")] = None,
) -> LogFilter:
    statuses = None if status is None else (int(status.replace("x", "0")), int(status.replace("x", "9")))
    return LogFilter(method, route, statuses, key_id, asked.start, asked.end)


AskedFilter = Annotated[LogFilter, Depends(_asked_filter)]

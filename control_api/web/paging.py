"""Pages of a list, newest first: a cursor names the last object that was seen, so inserts never shift a page."""

import base64
import binascii
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Generic, TypeVar
from uuid import UUID

from fastapi import Depends, Query

from control_api.web.problem import InvalidParameter, Problem
from control_api.web.problem_catalogue import ProblemKind

DEFAULT_LIMIT = 50
MAX_LIMIT = 200
_CURSOR = struct.Struct(">q16s")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

Item = TypeVar("Item")


@dataclass(frozen=True)
class Cursor:
    """The last object of a page."""

    created_at: datetime
    id: UUID


@dataclass(frozen=True)
class PageRequest:
    """At most `limit` objects, those after `after` in the order of the list."""

    limit: int
    after: Cursor | None


@dataclass(frozen=True)
class Page(Generic[Item]):
    """`next_cursor` None: there is nothing more."""

    items: Sequence[Item]
    next_cursor: str | None


def encode_cursor(cursor: Cursor) -> str:
    microseconds = (cursor.created_at - _EPOCH) // _MICROSECOND
    return base64.urlsafe_b64encode(_CURSOR.pack(microseconds, cursor.id.bytes)).decode()


def parse_cursor(text: str) -> Cursor:
    """Raises Problem."""
    try:
        microseconds, raw_id = _CURSOR.unpack(base64.b64decode(text, altchars=b"-_", validate=True))
        return Cursor(_EPOCH + timedelta(microseconds=microseconds), UUID(bytes=raw_id))
    except (binascii.Error, struct.error, OverflowError, ValueError):
        reason = "must be a `next_cursor` as it was answered"
        raise Problem(
            ProblemKind.BAD_CURSOR,
            f"cursor: {reason}",
            invalid_parameters=[InvalidParameter(name="cursor", reason=reason)],
        ) from None


def page_from(found: Sequence[Item], limit: int, cursor_of: Callable[[Item], Cursor]) -> Page[Item]:
    """`found`: up to `limit + 1` objects; the one too many says that there are more."""
    items = found[:limit]
    return Page(items, encode_cursor(cursor_of(items[-1])) if len(found) > limit else None)


def _page_request(
    limit: Annotated[int, Query(ge=1, le=MAX_LIMIT, description="How many objects at most")] = DEFAULT_LIMIT,
    cursor: Annotated[str | None, Query(description="`next_cursor` of the page before")] = None,
) -> PageRequest:
    return PageRequest(limit, None if cursor is None else parse_cursor(cursor))


AskedPage = Annotated[PageRequest, Depends(_page_request)]

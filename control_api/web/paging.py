"""Pages of a list: a cursor names the last object that was seen, so inserts never shift a page.

A cursor goes on in the list it was made for, with the same filters, and nowhere else. Most lists are newest first.
One that can be sorted in several ways has a SortedPageRequest; its cursors hold for the order they were made in.
"""

import base64
import binascii
import hashlib
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Generic, TypeVar
from uuid import UUID

import orjson
from fastapi import Depends, Query, Request

from control_api.web.problem import InvalidParameter, Problem
from control_api.web.problem_catalogue import ProblemKind

DEFAULT_LIMIT = 50
MAX_LIMIT = 200
MAX_KEY = 1000
_CURSOR = struct.Struct(">q16s8s")
_OF_THE_PAGE = {"limit", "cursor"}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

Item = TypeVar("Item")
Key = datetime | int | str


@dataclass(frozen=True)
class Cursor:
    """The last object of a page."""

    created_at: datetime
    id: UUID


@dataclass(frozen=True)
class PageRequest:
    """At most `limit` objects, those after `after` in the order of the list; `list_id` says which list."""

    limit: int
    after: Cursor | None
    list_id: bytes


@dataclass(frozen=True)
class Page(Generic[Item]):
    """`next_cursor` None: there is nothing more."""

    items: Sequence[Item]
    next_cursor: str | None


@dataclass(frozen=True)
class SortCursor:
    """The last object of a page, by what the list is sorted by."""

    key: Key
    id: UUID


@dataclass(frozen=True)
class SortedPageRequest:
    """As a PageRequest, in one of several orders; the id decides between equal keys."""

    limit: int
    sort: str
    is_descending: bool
    after: SortCursor | None
    list_id: bytes

    def page_from(
        self, found: Sequence[tuple[Item, datetime | int | str]], id_of: Callable[[Item], UUID]
    ) -> Page[Item]:
        """`found`: up to `limit + 1` objects with their keys; the one too many says that there are more."""
        items = [item for item, _ in found[: self.limit]]
        if len(found) <= self.limit:
            return Page(items, None)
        return Page(items, self._encode(SortCursor(found[self.limit - 1][1], id_of(items[-1]))))

    def _encode(self, cursor: SortCursor) -> str:
        key = cursor.key if isinstance(cursor.key, str | int) else (cursor.key - _EPOCH) // _MICROSECOND
        parts = [self.list_id.hex(), self.sort, self.is_descending, key, cursor.id.hex]
        return base64.urlsafe_b64encode(orjson.dumps(parts)).decode()


def sorted_page_request(  # noqa: PLR0913 - what is asked
    list_id: bytes, limit: int, cursor: str | None, sort: str, *, is_descending: bool, key_types: Mapping[str, type]
) -> SortedPageRequest:
    """`key_types`: datetime, int or str for each order that the list knows. Raises Problem."""
    after = None
    if cursor is not None:
        try:
            after = _parse_sort_cursor(cursor, [list_id.hex(), sort, is_descending], key_types[sort])
        except (binascii.Error, OverflowError, ValueError, TypeError, AttributeError):
            raise _bad_cursor() from None
    return SortedPageRequest(limit, sort, is_descending, after, list_id)


def _parse_sort_cursor(text: str, order: list[str | bool], key_type: type) -> SortCursor:
    """Raises ValueError and its like."""
    *made_for, key, raw_id = orjson.loads(base64.b64decode(text, altchars=b"-_", validate=True))
    if made_for != order:
        raise ValueError("of another list or order")
    if key_type is str:
        if not isinstance(key, str) or len(key) > MAX_KEY or "\0" in key:
            raise ValueError("no such key")
        return SortCursor(key, UUID(hex=raw_id))
    if type(key) is not int or not 0 <= key < 1 << 63:
        raise ValueError("no such key")
    return SortCursor(key if key_type is int else _EPOCH + timedelta(microseconds=key), UUID(hex=raw_id))


def encode_cursor(cursor: Cursor, list_id: bytes) -> str:
    microseconds = (cursor.created_at - _EPOCH) // _MICROSECOND
    return base64.urlsafe_b64encode(_CURSOR.pack(microseconds, cursor.id.bytes, list_id)).decode()


def parse_cursor(text: str, list_id: bytes) -> Cursor:
    """Raises Problem."""
    try:
        microseconds, raw_id, made_for = _CURSOR.unpack(base64.b64decode(text, altchars=b"-_", validate=True))
        if made_for != list_id:
            raise ValueError("of another list")
        return Cursor(_EPOCH + timedelta(microseconds=microseconds), UUID(bytes=raw_id))
    except (binascii.Error, struct.error, OverflowError, ValueError):
        raise _bad_cursor() from None


def _bad_cursor() -> Problem:
    reason = "must be a `next_cursor` as it was answered, for the same list with the same filters and order"
    return Problem(
        ProblemKind.BAD_CURSOR,
        f"cursor: {reason}",
        invalid_parameters=[InvalidParameter(name="cursor", reason=reason)],
    )


def page_from(found: Sequence[Item], asked: PageRequest, cursor_of: Callable[[Item], Cursor]) -> Page[Item]:
    """`found`: up to `limit + 1` objects; the one too many says that there are more."""
    items = found[: asked.limit]
    return Page(items, encode_cursor(cursor_of(items[-1]), asked.list_id) if len(found) > asked.limit else None)


AskedLimit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="How many objects at most")]
AskedCursor = Annotated[str | None, Query(description="`next_cursor` of the page before")]


def _list_id(request: Request) -> bytes:
    """What its path, its filters and the caller's workspace come to."""
    workspace_id = getattr(request.state.caller, "workspace_id", None)
    filters = sorted(each for each in request.query_params.multi_items() if each[0] not in _OF_THE_PAGE)
    return hashlib.sha256(repr((request.url.path, workspace_id, filters)).encode()).digest()[:8]


AskedList = Annotated[bytes, Depends(_list_id)]


def _page_request(list_id: AskedList, limit: AskedLimit = DEFAULT_LIMIT, cursor: AskedCursor = None) -> PageRequest:
    return PageRequest(limit, None if cursor is None else parse_cursor(cursor, list_id), list_id)


AskedPage = Annotated[PageRequest, Depends(_page_request)]

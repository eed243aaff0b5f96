"""Answers questions to POST /v1/query: a page as JSON, or everything as a stream."""

import base64
import binascii
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from control_api.analytics.question import After, Question, export_statement, is_place, page_statement, place_of
from control_api.analytics.scan_store import Format, ScanStore
from control_api.analytics.slots import Slots
from control_api.web.problem import InvalidParameter, Problem
from control_api.web.problem_catalogue import ProblemKind
from scanhop.wire.ids import WorkspaceId


@dataclass(frozen=True)
class Place:
    """Where a page ended. `end`: of the first page's period, so that "until now" stays the same moment."""

    asked: str
    start: datetime
    end: datetime
    after: After


class ScanQueries:
    """Raises Problem, StoreUnavailable."""

    def __init__(self, store: ScanStore, slots: Slots[WorkspaceId]) -> None:
        self._store = store
        self._slots = slots

    async def list_page(
        self, question: Question, after: After | None, limit: int
    ) -> tuple[list[dict[str, Any]], After | None]:
        """(rows or groups, where the next page begins)."""
        if after is not None and not is_place(question, after):
            raise bad_cursor()
        statement = page_statement(question, after, limit + 1)
        found = await self._store.list_objects(statement.sql, statement.parameters)
        return found[:limit], place_of(question, found[limit - 1]) if len(found) > limit else None

    async def count_rows(self, question: Question) -> int:
        """How many an export has, its head aside."""
        statement = export_statement(question, quotes_formulas=False)
        [(rows,)] = await self._store.list_rows(f"SELECT count() FROM (\n{statement.sql}\n)", statement.parameters)  # noqa: S608 - see question
        return int(rows)

    @asynccontextmanager
    async def stream(self, question: Question, form: Format) -> AsyncIterator[AsyncIterator[bytes]]:
        statement = export_statement(question, quotes_formulas=form == "CSV")
        with self._slots.hold(question.scans.workspace_id):
            async with self._store.stream(statement.sql, statement.parameters, form) as chunks:
                yield chunks


def fingerprint(asked: object) -> str:
    """Of a question as it was sent: a cursor belongs to one question."""
    return hashlib.sha256(orjson.dumps(asked, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]


def encode_place(place: Place) -> str:
    text = orjson.dumps([place.asked, place.start.isoformat(), place.end.isoformat(), place.after])
    return base64.urlsafe_b64encode(text).decode()


def parse_place(cursor: str, asked: str) -> Place:
    """Raises Problem for what is no cursor of this question."""
    try:
        found = orjson.loads(base64.b64decode(cursor, altchars=b"-_", validate=True))
        belongs_to, start, end, after = found
        place = Place(belongs_to, datetime.fromisoformat(start), datetime.fromisoformat(end), after)
    except (binascii.Error, ValueError, TypeError):
        raise bad_cursor() from None
    if place.asked != asked or place.start.utcoffset() is None or place.end.utcoffset() is None:
        raise bad_cursor()
    return place


def bad_cursor() -> Problem:
    reason = "must be a `next_cursor` as it was answered, with the same question"
    listed = [InvalidParameter(name="cursor", reason=reason)]
    return Problem(ProblemKind.BAD_CURSOR, f"cursor: {reason}", invalid_parameters=listed)

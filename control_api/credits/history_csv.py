"""The history as CSV (RFC 4180), for those who open it in a spreadsheet."""

import csv
import io
from collections.abc import AsyncIterator, Sequence

import orjson

from control_api.credits.model import Entry

MEDIA_TYPE = "text/csv; charset=utf-8"
COLUMNS = (
    "seq",
    "id",
    "created_at",
    "kind",
    "amount",
    "balance_after",
    "reference",
    "action",
    "units",
    "price_version",
    "reason",
    "actor",
    "details",
)
_FORMULA = ("=", "+", "-", "@", "\t", "\n", "\r", " ")


async def begin_csv(batches: AsyncIterator[Sequence[Entry]]) -> AsyncIterator[str]:
    """The header, then a row for each entry. Raises what the first batch raises, before anything is written."""
    return _write(await anext(batches, ()), batches)


async def _write(first: Sequence[Entry], others: AsyncIterator[Sequence[Entry]]) -> AsyncIterator[str]:
    yield _lines([COLUMNS, *map(_row, first)])
    async for entries in others:
        yield _lines([_row(entry) for entry in entries])


def _row(entry: Entry) -> Sequence[object]:
    return (
        entry.seq,
        entry.id,
        entry.at.isoformat(),
        entry.kind.value,
        entry.amount,
        entry.balance_after,
        _text(entry.reference),
        _text(entry.action),
        entry.units,
        entry.price_version,
        _text(entry.reason),
        entry.actor,
        orjson.dumps(entry.details).decode(),
    )


def _text(value: str | None) -> str:
    """What people typed is no formula, nor what a spreadsheet makes of it once it has cut blanks away."""
    return f"'{value}" if value and value.startswith(_FORMULA) else value or ""


def _lines(rows: Sequence[Sequence[object]]) -> str:
    lines = io.StringIO()
    csv.writer(lines).writerows(rows)
    return lines.getvalue()

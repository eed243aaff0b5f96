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
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


async def write_csv(batches: AsyncIterator[Sequence[Entry]]) -> AsyncIterator[str]:
    """The header, then a row for each entry."""
    yield _lines([COLUMNS])
    async for entries in batches:
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
    """What people typed is no formula."""
    return f"'{value}" if value and value.startswith(_FORMULA) else value or ""


def _lines(rows: Sequence[Sequence[object]]) -> str:
    lines = io.StringIO()
    csv.writer(lines).writerows(rows)
    return lines.getvalue()

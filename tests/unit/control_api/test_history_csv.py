"""What people typed is no formula to a spreadsheet."""

import csv
import io
from datetime import UTC, datetime
from uuid import UUID

import pytest

from control_api.credits.history_csv import begin_csv
from control_api.credits.model import Entry, EntryKind


async def write(reason):
    entry = Entry(
        *(1, UUID(int=1), datetime(2026, 11, 1, tzinfo=UTC), EntryKind.GRANT, 5, 5),
        *(None, None, None, None, reason, "system", {}),
    )

    async def batches():
        yield [entry]

    text = "".join([chunk async for chunk in await begin_csv(batches())])
    [row] = csv.DictReader(io.StringIO(text, newline=""))
    return row["reason"]


@pytest.mark.parametrize("blank", ["", " ", "\t", "\n", "\r", "\r\n"])
@pytest.mark.parametrize("start", ["=", "+", "-", "@"])
async def test_a_text_that_begins_as_a_formula_begins_with_an_apostrophe(blank, start):
    assert await write(f"{blank}{start}1+1") == f"'{blank}{start}1+1"


@pytest.mark.parametrize("text", ["welcome", "1-1", "a = b"])
async def test_any_other_text_is_as_it_was_typed(text):
    assert await write(text) == text

"""What is added to the rollup, exactly once, whenever the program that adds it is killed.

A correction is at most KEYS_AT_ONCE rows of one day, what the rollup lacks of as many codes. It is written to
`rollup_corrections` as one block, then inserted into `daily_aggregates` as one block under its id as token, then
noted in `settled_corrections`. One that a killed program left without a note is finished before anything else is
looked at: its rows are read back and inserted again under the same token. A token is remembered for as many inserts
as the table's window holds, so that is done for RESEND_FOR only. An older one is given up: whether it is in the
rollup or not shows when raw and rollup are compared anew, as no request of a program that died so long ago is still
under way.
"""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from uuid import UUID

from scanhop.rollups.key_check import Verdict
from scanhop.rollups.statements import Statements
from scanhop.wire.ids import uuid7

RESEND_FOR = timedelta(hours=1)
COLUMNS = ("workspace_id", "qr_id", "date", "events", "scans", "devices", "os", "browsers", "countries")


class Corrections:
    """Raises StoreError; then it is not known whether the correction is in the rollup, until `finish`."""

    def __init__(self, statements: Statements) -> None:
        self._statements = statements

    async def finish(self, now: datetime) -> int:
        """What earlier runs left; how many there were."""
        resend_from_ms = int((now - RESEND_FOR).timestamp() * 1000)
        left = await self._statements.list("list_unsettled_corrections", {"resend_from_ms": resend_from_ms})
        for correction_id, is_recent in left:
            if is_recent:
                await self._apply(correction_id)
            await self._settle(correction_id, is_applied=bool(is_recent))
        return len(left)

    async def correct(self, day: date, wrong: Sequence[Verdict], now: datetime) -> None:
        correction_id = uuid7(int(now.timestamp() * 1e9))
        rows = [_correction_row(day, verdict) for verdict in wrong]
        kept = [{"correction_id": str(correction_id), **row} for row in rows]
        await self._statements.insert("rollup_corrections", kept, str(correction_id))
        await self._apply(correction_id)
        await self._settle(correction_id, is_applied=True)

    async def _apply(self, correction_id: UUID) -> None:
        rows = await self._statements.list("read_correction", {"correction_id": str(correction_id)})
        await self._statements.insert(
            "daily_aggregates", [dict(zip(COLUMNS, row, strict=True)) for row in rows], str(correction_id)
        )

    async def _settle(self, correction_id: UUID, *, is_applied: bool) -> None:
        row = {"correction_id": str(correction_id), "is_applied": is_applied}
        await self._statements.insert("settled_corrections", [row], str(correction_id))


def _correction_row(day: date, verdict: Verdict) -> dict[str, object]:
    workspace_id, qr_id = verdict.key
    lacking = verdict.rolled_up.lacks(verdict.raw)
    return {"workspace_id": str(workspace_id), "qr_id": str(qr_id), "date": day.isoformat(), **lacking}

"""`scanhop rebuild-rollups`: makes `daily_aggregates` say what the raw scans say, for some days, while all goes on.

The rollup's rows add up. So an error is mended by adding what is lacking, modulo 2**64 (one too many lacks 2**64 -
1), and nothing has to be emptied, copied or swapped:

- Readers never see a day without its counts, or with them twice. A code that is right is not touched; of one that is
  wrong all counts become right at once, by one row of one insert.
- Inserts by the view go on. They add to the same sums, before or after a correction: the order does not matter.
- What is lacking is worked out of settled codes only (`key_check`): raw and rollup hold the same batches then, so
  what they differ by is the error, and stays the error whatever comes later. Codes with scans under way are looked at
  again, ROUNDS times; those that were never settled are told, and a later run mends them.
- Killed at any point and run again it gives the same: see `corrections`.

One run at a time, by an advisory lock in Postgres; before each correction it is made sure that the lock is still
held.

Refused: days that raw does not hold whole any more (its TTL), or of which it holds nothing although batches were
accepted (a partition was dropped). A store that fails: StoreError; what was mended stays mended.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime

import asyncpg

from scanhop.rollups.corrections import Corrections
from scanhop.rollups.day_range import DayRange
from scanhop.rollups.key_check import FIRST, Key, KeyCheck, in_parts
from scanhop.rollups.retention import find_oldest_whole_day
from scanhop.rollups.statements import Statements
from scanhop.stores.errors import StoreUnavailable
from scanhop.stores.postgres import CONNECT_TIMEOUT_S, MENDABLE, UNAVAILABLE

LOCK_KEY = 0x5CA9_0B02
LOCK_TIMEOUT_S = 10.0
ROUNDS = 30
PAUSE_S = 1.0

Pause = Callable[[float], Awaitable[None]]
HoldsLock = Callable[[], Awaitable[None]]


class RebuildRefused(Exception):
    """The message says which days, and why."""


@dataclass
class Rebuilt:
    """Codes of days, each counted once a day: `mended`, and `unsettled` at the last look. `finished`: corrections
    that an earlier run had left."""

    mended: int = 0
    unsettled: int = 0
    finished: int = 0


class Rebuild:
    """`still_alone` raises when another run may have begun."""

    def __init__(self, statements: Statements, still_alone: HoldsLock, pause: Pause = asyncio.sleep) -> None:
        self._statements = statements
        self._keys = KeyCheck(statements)
        self._corrections = Corrections(statements)
        self._still_alone = still_alone
        self._pause = pause

    async def run(self, days: DayRange, now: datetime) -> Rebuilt:
        """Raises RebuildRefused or StoreError."""
        await self._refuse_what_raw_has_lost(days, now)
        await self._still_alone()
        result = Rebuilt(finished=await self._corrections.finish(now))
        for month in days.months():
            for day in await self._list_differing_days(month):
                await self._mend(day, result)
        return result

    async def _refuse_what_raw_has_lost(self, days: DayRange, now: datetime) -> None:
        oldest = await find_oldest_whole_day(self._statements, now)
        if oldest is not None and days.first < oldest:
            raise RebuildRefused(f"raw scans are kept since {oldest}: the rollups of {days.first} are all there is")
        for month in days.months():
            parameters = month.bounds() | {"settled_ms": int(now.timestamp() * 1000)}
            raw = {row[0]: row[1] for row in await self._statements.list("compare_days", parameters)}
            for day, accepted, _ in await self._statements.list("count_accepted", parameters):
                if accepted and not raw.get(day) and day in list(month):
                    raise RebuildRefused(f"raw holds nothing of {day}, though {accepted} rows were accepted")

    async def _list_differing_days(self, month: DayRange) -> list[date]:
        parameters = month.bounds() | {"settled_ms": 0}
        return [row[0] for row in await self._statements.list("compare_days", parameters) if not row[6]]

    async def _mend(self, day: date, result: Rebuilt) -> None:
        for number in range(ROUNDS):
            if number:
                await self._pause(PAUSE_S)
            unsettled = await self._mend_once(day, result)
            if not unsettled:
                return
        result.unsettled += unsettled

    async def _mend_once(self, day: date, result: Rebuilt) -> int:
        """All codes of the day that differ; how many of them are not settled."""
        unsettled, after = 0, FIRST
        while keys := await self._keys.list_differing(day, after):
            for some in in_parts(keys):
                unsettled += await self._mend_keys(day, some, result)
            after = keys[-1]
        return unsettled

    async def _mend_keys(self, day: date, keys: Sequence[Key], result: Rebuilt) -> int:
        verdicts = await self._keys.examine(day, keys)
        wrong = [verdict for verdict in verdicts if verdict.is_wrong]
        if wrong:
            await self._still_alone()
            await self._corrections.correct(day, wrong, datetime.now(UTC))
            result.mended += len(wrong)
        return sum(not verdict.is_settled for verdict in verdicts)


@asynccontextmanager
async def only_rebuild(postgres_dsn: str) -> AsyncIterator[HoldsLock]:
    """Raises RebuildRefused while another runs, StoreUnavailable without Postgres; so does what it gives."""
    try:
        connection = await asyncpg.connect(postgres_dsn, timeout=CONNECT_TIMEOUT_S, command_timeout=LOCK_TIMEOUT_S)
    except (*UNAVAILABLE, *MENDABLE) as error:
        raise StoreUnavailable(f"postgres: {error or type(error).__name__}") from error

    async def still_alone() -> None:
        """The lock is the session's: while the session answers, it is held."""
        try:
            await connection.execute("SELECT 1")
        except (*UNAVAILABLE, *MENDABLE) as error:
            raise StoreUnavailable(f"postgres, where the lock is: {error or type(error).__name__}") from error

    try:
        if not await connection.fetchval("SELECT pg_try_advisory_lock($1)", LOCK_KEY):
            raise RebuildRefused("another rebuild is running")
        yield still_alone
    finally:
        await connection.close()

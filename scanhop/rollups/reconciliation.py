"""Holds accepted batches, raw scans and rollups against each other, day by day, and names the batches that differ.

Invariants:
- Nothing is changed, and nothing under way is called a difference. A batch that was frozen less than `grace` ago is
  in flight. An older one that differs is looked at again before it is told; a code of a rollup is judged when it is
  settled (`key_check`), and looked at again until it is, LOOKS times.
- Memory and time are bounded: ClickHouse adds up, in statements with limits; here are at most MOST_TOLD differences
  and MOST_KEYS codes of a day. What is beyond is counted as `is_cut`.
- Days that raw no longer holds whole are left out.

A rollup does not know which batch its counts came from. The batches named are those of the code's raw rows that
explain the difference by their size; of these the ones that explain the most codes, and have the fewest others: the
one batch, where it is missing or doubled as a whole.

A store that fails: StoreError.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from scanhop.rollups.day_range import DayRange, single
from scanhop.rollups.key_check import FIRST, KEYS_AT_ONCE, Key, KeyCheck, Verdict, in_parts
from scanhop.rollups.retention import find_oldest_whole_day
from scanhop.rollups.statements import Statements

GRACE = timedelta(minutes=10)
LOOKS = 5
PAUSE_S = 1.0
MOST_TOLD = 200
MOST_KEYS = 5_000
MOST_BATCHES = 5

Pause = Callable[[float], Awaitable[None]]


class Kind(StrEnum):
    """What is wrong. Of the first four: raw against scan_batches; of the last three: the rollup against raw."""

    MISSING_IN_RAW = "missing_in_raw"
    DOUBLED_IN_RAW = "doubled_in_raw"
    WITHOUT_ACCOUNT = "batch_without_account"
    WITHOUT_ROWS = "account_without_rows"
    COUNTED_OTHERWISE = "scans_counted_otherwise"
    MISSING_IN_ROLLUP = "missing_in_rollup"
    DOUBLED_IN_ROLLUP = "doubled_in_rollup"
    ROLLED_UP_OTHERWISE = "rolled_up_otherwise"


@dataclass(frozen=True)
class Difference:
    """`expected` and `found` are rows. `codes`: of how many codes; `batches`: which are meant, or may be."""

    kind: Kind
    day: date
    batches: tuple[UUID, ...]
    expected: int
    found: int
    last_day: date | None = None
    codes: int = 0
    example: Key | None = None

    def __str__(self) -> str:
        batches = ", ".join(map(str, self.batches)) or "no batch"
        days = f"{self.day}" if self.last_day in (None, self.day) else f"{self.day} to {self.last_day}"
        codes = f", {self.codes} code(s), such as {self.example[1]}" if self.example else ""
        return f"{days} {self.kind}: expected {self.expected} rows, found {self.found}; {batches}{codes}"


@dataclass(frozen=True)
class DayCounts:
    """Rows and counted scans of one day. `in_flight` rows are in raw and perhaps in the rollup, not in `accepted`."""

    day: date
    accepted_rows: int = 0
    accepted_scans: int = 0
    raw_rows: int = 0
    raw_scans: int = 0
    rolled_up_rows: int = 0
    rolled_up_scans: int = 0
    in_flight: int = 0


@dataclass
class Report:
    """`unsettled`: codes that had scans under way at every look. `is_cut`: there is more than is told."""

    days: list[DayCounts] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)
    unsettled: int = 0
    is_cut: bool = False

    @property
    def agrees(self) -> bool:
        return not self.differences


class Reconciliation:
    def __init__(self, statements: Statements, grace: timedelta = GRACE, pause: Pause = asyncio.sleep) -> None:
        self._statements = statements
        self._keys = KeyCheck(statements)
        self._grace = grace
        self._pause = pause

    async def run(self, days: DayRange, now: datetime) -> Report:
        report = Report()
        oldest = await find_oldest_whole_day(self._statements, now)
        kept = DayRange(max(days.first, oldest or days.first), days.end)
        settled_ms = int((now - self._grace).timestamp() * 1000)
        for month in kept.months():
            await self._compare_batches(month, settled_ms, report)
            await self._compare_days(month, settled_ms, report)
        report.differences.sort(key=lambda difference: (difference.day, difference.kind))
        return report

    async def _compare_batches(self, days: DayRange, settled_ms: int, report: Report) -> None:
        """A batch is compared as a whole, though some of its days may not have been asked for."""
        parameters = days.whole_month().bounds() | {"settled_ms": settled_ms, "limit": MOST_TOLD, "batch_ids": []}
        rows = await self._statements.list("list_differing_batches", parameters)
        report.is_cut |= len(rows) == MOST_TOLD
        for _ in range(LOOKS):
            if not rows:
                return
            await self._pause(PAUSE_S)  # its insert may have been sent again just now, its line is next
            again = parameters | {"batch_ids": [str(row[0]) for row in rows]}
            rows = await self._statements.list("list_differing_batches", again)
        found = [_batch_difference(row) for row in rows]
        report.differences += [each for each in found if each.day < days.end and _last_day(each) >= days.first]

    async def _compare_days(self, days: DayRange, settled_ms: int, report: Report) -> None:
        parameters = days.bounds() | {"settled_ms": settled_ms}
        compared = await self._statements.list("compare_days", parameters)
        accepted = {row[0]: row[1:] for row in await self._statements.list("count_accepted", parameters)}
        by_day = {row[0]: _day_counts(row, accepted.pop(row[0], (0, 0))) for row in compared}
        by_day |= {day: DayCounts(day, *counts) for day, counts in accepted.items()}
        _spread_differences(by_day, report.differences)
        report.days += [by_day[day] for day in sorted(by_day)]
        for day in [row[0] for row in compared if not row[6]]:
            await self._compare_keys(day, report)

    async def _compare_keys(self, day: date, report: Report) -> None:
        wrong: list[Verdict] = []
        async for some in self._differing_keys(day):
            wrong += await self._judge(day, some, report)
            if len(wrong) >= MOST_KEYS:
                report.is_cut = True
                break
        report.differences += await self._explain(day, wrong)

    async def _differing_keys(self, day: date) -> AsyncIterator[Sequence[Key]]:
        after = FIRST
        while keys := await self._keys.list_differing(day, after):
            for some in in_parts(keys):
                yield some
            after = keys[-1]

    async def _judge(self, day: date, keys: Sequence[Key], report: Report) -> list[Verdict]:
        wrong: list[Verdict] = []
        for look in range(LOOKS):
            if look:
                await self._pause(PAUSE_S)
            verdicts = await self._keys.examine(day, keys)
            wrong += [verdict for verdict in verdicts if verdict.is_wrong]
            keys = [verdict.key for verdict in verdicts if not verdict.is_settled]
            if not keys:
                break
        report.unsettled += len(keys)
        return wrong

    async def _explain(self, day: date, wrong: Sequence[Verdict]) -> list[Difference]:
        """One difference for all codes that the same batches explain."""
        suspects: dict[Key, set[UUID]] = {}
        for start in range(0, len(wrong), KEYS_AT_ONCE):
            suspects |= await self._suspects(day, wrong[start : start + KEYS_AT_ONCE])
        blamed = await self._narrow_down(day, suspects)
        groups: defaultdict[tuple[Kind, tuple[UUID, ...]], list[Verdict]] = defaultdict(list)
        for verdict in wrong:
            groups[_rollup_kind(verdict), blamed[verdict.key]].append(verdict)
        return [_rollup_difference(kind, day, batches, each) for (kind, batches), each in groups.items()]

    async def _suspects(self, day: date, wrong: Sequence[Verdict]) -> dict[Key, set[UUID]]:
        """The batches whose rows of a code are as many as it differs by; where there are none, all that it has."""
        differs_by = [abs(verdict.raw.events - verdict.rolled_up.events) for verdict in wrong]
        keys = [tuple(map(str, verdict.key)) for verdict in wrong]
        parameters = single(day).bounds() | {"keys": keys, "differs_by": differs_by}
        fitting: defaultdict[Key, set[UUID]] = defaultdict(set)
        others: defaultdict[Key, set[UUID]] = defaultdict(set)
        for workspace, qr, batch, fits in await self._statements.list("list_batches_of_keys", parameters):
            (fitting if fits else others)[workspace, qr].add(batch)
        return {verdict.key: fitting[verdict.key] or others[verdict.key] for verdict in wrong}

    async def _narrow_down(self, day: date, suspects: Mapping[Key, set[UUID]]) -> dict[Key, tuple[UUID, ...]]:
        """Of each code's batches those that explain the most codes; of these, those that have the fewest others."""
        often = Counter(batch for batches in suspects.values() for batch in batches)
        likely = {key: _best(batches, lambda batch: often[batch]) for key, batches in suspects.items()}
        tied = {batch for batches in likely.values() if len(batches) > 1 for batch in batches}
        parameters = single(day).bounds() | {"batch_ids": sorted(map(str, tied))}
        rows = await self._statements.list("count_codes_of_batches", parameters) if tied else []
        codes = {row[0]: row[1] for row in rows}
        return {
            key: tuple(sorted(_best(batches, lambda batch: -codes.get(batch, 0)))[:MOST_BATCHES])
            for key, batches in likely.items()
        }


def _best(batches: set[UUID], score: Callable[[UUID], int]) -> set[UUID]:
    most = max(map(score, batches), default=0)
    return {batch for batch in batches if score(batch) == most}


def _rollup_kind(verdict: Verdict) -> Kind:
    if verdict.rolled_up.events < verdict.raw.events:
        return Kind.MISSING_IN_ROLLUP
    return Kind.DOUBLED_IN_ROLLUP if verdict.rolled_up.events > verdict.raw.events else Kind.ROLLED_UP_OTHERWISE


def _rollup_difference(kind: Kind, day: date, batches: tuple[UUID, ...], wrong: Sequence[Verdict]) -> Difference:
    expected = sum(verdict.raw.events for verdict in wrong)
    found = sum(verdict.rolled_up.events for verdict in wrong)
    return Difference(kind, day, batches, expected, found, codes=len(wrong), example=wrong[0].key)


def _batch_difference(row: Sequence[Any]) -> Difference:
    batch_id, accounts, rows, _, found, _, first, last = row
    return Difference(_batch_kind(accounts, rows, found), _utc_date(first), (batch_id,), rows, found, _utc_date(last))


def _batch_kind(accounts: int, rows: int, found: int) -> Kind:
    if not accounts:
        return Kind.WITHOUT_ACCOUNT
    if not found:
        return Kind.WITHOUT_ROWS
    if rows == found:
        return Kind.COUNTED_OTHERWISE
    return Kind.MISSING_IN_RAW if found < rows else Kind.DOUBLED_IN_RAW


def _utc_date(at: datetime) -> date:
    return at.astimezone(UTC).date() if at.tzinfo else at.date()


def _last_day(difference: Difference) -> date:
    return difference.last_day or difference.day


def _day_counts(row: Sequence[Any], accepted: Sequence[int]) -> DayCounts:
    day, raw_rows, raw_scans, in_flight, rolled_up_rows, rolled_up_scans, _ = row
    return DayCounts(day, accepted[0], accepted[1], raw_rows, raw_scans, rolled_up_rows, rolled_up_scans, in_flight)


def _spread_differences(by_day: dict[date, DayCounts], differences: Sequence[Difference]) -> None:
    """What a batch over several days differs by is put to its first: raw cannot say where it belongs."""
    for each in differences:
        if each.day in by_day and each.last_day not in (None, each.day):
            counts = by_day[each.day]
            off_by = each.expected - each.found
            by_day[each.day] = replace(counts, accepted_rows=counts.accepted_rows + off_by)

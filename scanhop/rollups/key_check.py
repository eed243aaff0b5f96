"""What raw and rollup say of some codes on one day, and whether that can be compared.

Three readings, in this order:

    accounted   the rows whose batch has a line in scan_batches
    rolled up   the rollup
    raw         all rows

The line of a batch is written after its insert returned, so every row of the first reading is in the second. Raw is
only appended to: where the third has as many rows as the first, they are the same rows. And since a batch's raw part
is committed before its part of the rollup, the second holds nothing that the third does not. Then `raw` is exactly
what `rolled up` should be, and the difference is an error that no insert under way will mend. Where the counts
differ, an insert is under way (or waits for ingest to send it again), and the key is not settled: nothing can be said
of it.

A store that fails: StoreError, nothing was changed.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any
from uuid import UUID

from scanhop.rollups.day_range import single
from scanhop.rollups.statements import Statements

KEYS_AT_ONCE = 500
LISTED_AT_ONCE = 50_000
MODULUS = 1 << 64
FIRST = (UUID(int=0), UUID(int=0))

Key = tuple[UUID, UUID]
"""Workspace and code."""


@dataclass(frozen=True)
class Tally:
    """One row of the rollup, added up. The last four: counted scans by value."""

    events: int = 0
    scans: int = 0
    devices: Mapping[str, int] = field(default_factory=dict)
    os: Mapping[str, int] = field(default_factory=dict)
    browsers: Mapping[str, int] = field(default_factory=dict)
    countries: Mapping[str, int] = field(default_factory=dict)

    def lacks(self, wanted: "Tally") -> dict[str, object]:
        """What must be added to it to make it `wanted`, modulo 2**64; by column. All zero: nothing."""
        return {
            "events": (wanted.events - self.events) % MODULUS,
            "scans": (wanted.scans - self.scans) % MODULUS,
            "devices": _lacking(self.devices, wanted.devices),
            "os": _lacking(self.os, wanted.os),
            "browsers": _lacking(self.browsers, wanted.browsers),
            "countries": _lacking(self.countries, wanted.countries),
        }


@dataclass(frozen=True)
class Verdict:
    """`is_settled` False: scans of this code are under way, and nothing can be said."""

    key: Key
    raw: Tally
    rolled_up: Tally
    is_settled: bool

    @property
    def is_wrong(self) -> bool:
        return self.is_settled and any(self.rolled_up.lacks(self.raw).values())


class KeyCheck:
    """Raises StoreError."""

    def __init__(self, statements: Statements) -> None:
        self._statements = statements

    async def list_differing(self, day: date, after: Key = FIRST) -> list[Key]:
        """The next LISTED_AT_ONCE codes after one that differ on a first look, be it that scans are under way."""
        parameters = single(day).bounds() | {
            "after_workspace": str(after[0]),
            "after_qr": str(after[1]),
            "limit": LISTED_AT_ONCE,
        }
        return [(workspace_id, qr_id) for workspace_id, qr_id in await self._list("list_differing_keys", parameters)]

    async def examine(self, day: date, keys: Sequence[Key]) -> list[Verdict]:
        """At most KEYS_AT_ONCE of them."""
        parameters = single(day).bounds() | {"keys": [(str(workspace), str(qr)) for workspace, qr in keys]}
        accounted = {(row[0], row[1]): row[2] for row in await self._list("count_accounted_rows", parameters)}
        rolled_up = _tallies(await self._list("read_rolled_up", parameters))
        raw = _tallies(await self._list("read_raw", parameters))
        nothing = Tally()
        return [
            Verdict(
                key,
                raw.get(key, nothing),
                rolled_up.get(key, nothing),
                is_settled=accounted.get(key, 0) == raw.get(key, nothing).events,
            )
            for key in keys
        ]

    async def _list(self, name: str, parameters: Mapping[str, Any]) -> Sequence[Any]:
        return await self._statements.list(name, parameters)


def in_parts(keys: Sequence[Key]) -> Iterator[Sequence[Key]]:
    """Of as many as can be examined at once."""
    for start in range(0, len(keys), KEYS_AT_ONCE):
        yield keys[start : start + KEYS_AT_ONCE]


def _tallies(rows: Sequence[Any]) -> dict[Key, Tally]:
    return {(row[0], row[1]): Tally(*row[2:]) for row in rows}


def _lacking(found: Mapping[str, int], wanted: Mapping[str, int]) -> dict[str, int]:
    every = {value: (wanted.get(value, 0) - found.get(value, 0)) % MODULUS for value in {*found, *wanted}}
    return {value: count for value, count in every.items() if count}

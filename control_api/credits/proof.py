"""The proof: the books of every wallet, read in each of the ways in which they can be, say the same.

Replaying the entries gives each entry's balance, and in the end the wallet's; it is what remains in the lots, and
what the allocations say; what is reserved is what open reservations hold. The first entry that disagrees is named.
All books of a wallet are read by one statement, so from one snapshot: what happens meanwhile does not disturb it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from uuid import UUID

import asyncpg

from scanhop.stores.postgres import Postgres
from scanhop.stores.sql import load_queries
from scanhop.telemetry.logs import get_logger
from scanhop.wire.ids import ZERO_UUID

BATCH = 500
MOST_KEPT = 100
TIMEOUT_S = 3600

_log = get_logger()


@dataclass(frozen=True)
class Disagreement:
    """`entry_seq`: the first entry that is not as the others say; None: it is none of the entries."""

    workspace_id: UUID
    entry_seq: int | None
    entry_id: UUID | None
    detail: str

    def __str__(self) -> str:
        return f"wallet {self.workspace_id}: {self.detail}"


@dataclass
class ProofReport:
    """`disagreements`: at most MOST_KEPT of them."""

    wallets: int = 0
    entries: int = 0
    disagreements: list[Disagreement] = field(default_factory=list)

    @property
    def agrees(self) -> bool:
        return not self.disagreements


class BooksDisagree(Exception):
    """Tells the first disagreement; the log tells the others."""


class LedgerProof:
    """Raises StoreUnavailable."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres
        self._sql = load_queries("control_api.credits", "proof.sql")

    async def examine(self) -> ProofReport:
        """All wallets, BATCH at a time."""
        report, after = ProofReport(), ZERO_UUID
        while rows := await self._list_books(after):
            for row in rows:
                _read(row, report)
            after = rows[-1]["workspace_id"]
        return report

    async def run(self) -> dict[str, int]:
        """As a job: tells what it finds in the log, as errors. Raises BooksDisagree."""
        report = await self.examine()
        for each in report.disagreements:
            _log.error(
                "ledger_disagrees",
                workspace_id=str(each.workspace_id),
                entry_seq=each.entry_seq,
                entry_id=str(each.entry_id),
                detail=each.detail,
            )
        if not report.agrees:
            raise BooksDisagree(report.disagreements[0])
        return {"wallets": report.wallets, "entries": report.entries}

    async def _list_books(self, after: UUID) -> list[asyncpg.Record]:
        """The session's time-outs are made for requests; the books of a large ledger take longer."""
        async with self._postgres.transaction() as connection:
            await connection.execute(f"SET LOCAL statement_timeout = '{TIMEOUT_S}s'")
            return await connection.fetch(self._sql["examine"], after, BATCH, timeout=TIMEOUT_S)


def _read(row: asyncpg.Record, report: ProofReport) -> None:
    report.wallets += 1
    report.entries += row["replayed_entries"]
    found = next(_disagreements(row), None)
    if found is not None and len(report.disagreements) < MOST_KEPT:
        report.disagreements.append(found)


def _disagreements(row: asyncpg.Record) -> Iterator[Disagreement]:
    """The telling one first."""
    workspace_id = row["workspace_id"]
    if row["wrong_seq"] is not None:
        detail = f"entry {row['wrong_seq']} ({row['wrong_id']}) {_what_is_wrong(row)}"
        yield Disagreement(workspace_id, row["wrong_seq"], row["wrong_id"], detail)
    if row["wrong_lot"] is not None:
        detail = f"lot {row['wrong_lot']} holds another amount than its allocations say"
        yield Disagreement(workspace_id, row["wrong_lot"], None, detail)
    pairs = (
        ("entries", "replayed_entries", "the wallet counts {} entries, there are {}"),
        ("balance", "replayed_balance", "the balance is {}, the entries come to {}"),
        ("balance", "remaining", "the balance is {}, the lots hold {}"),
        ("reserved", "open_reservations", "{} are reserved, open reservations come to {}"),
        ("reserved", "held", "{} are reserved, the lots are held for {}"),
    )
    for one, other, told in pairs:
        if row[one] != row[other]:
            yield Disagreement(workspace_id, None, None, told.format(row[one], row[other]))


def _what_is_wrong(row: asyncpg.Record) -> str:
    if row["wrong_place"] != row["wrong_seq"]:
        return f"stands in place {row['wrong_place']}: one before it is missing"
    if row["wrong_replayed"] != row["wrong_balance_after"]:
        return f"says that {row['wrong_balance_after']} were left, the replay says {row['wrong_replayed']}"
    return f"is of {row['wrong_amount']}, its allocations come to {row['wrong_allocated']}"

"""The ledger: what a workspace holds in credits, and every change of it.

Invariants, of every wallet, at every commit:
- balance = sum of the amounts of its entries = sum of what remains in its lots, and never below 0. `reserved` = sum
  of its open reservations = sum of what lots are held for; it is part of the balance. What can be spent, `available`,
  is balance - reserved.
- Entries are numbered 1, 2, 3 ... without a gap, and never change: a mistake is undone by another entry. Their time
  is the database's, one clock for all processes, and never goes back from one to the next.
- The allocations of an entry add up to its amount, those of a lot to what remains of it.
- An idempotency key has one effect among the entries of a wallet, and one among its reservations. The call that comes
  again gets the first result; with another amount or kind, or for another entry, it is a conflict. A reservation that
  has ended meanwhile is told as CLOSED.
- Credits are taken from lots in one order: the lowest priority, the earliest expiry, granted before purchased, the
  oldest. A lot that has expired pays nothing but what was reserved of it before.
- Whatever has run out (a lot, a reservation's time) is gone before the next thing is done to the wallet, whether or
  not the worker came by.

How they are kept: each operation is one function of the schema, called by one statement (docs/decisions/0015). It
locks the wallet's row first, so everything that follows in it sees what was committed before. CHECK constraints and
triggers that refuse UPDATE, DELETE and TRUNCATE are the second wall; `proof` finds what got past both.

When Postgres is away: StoreUnavailable, and nothing has happened, or it has and the same key tells so.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from control_api.clock import Clock
from control_api.credits.ledger_store import LedgerStore
from control_api.credits.model import DEFAULT_PRIORITY, REFUND_GRACE, EntryKind, Facts, Result
from control_api.credits.wallet_gate import WalletGate
from scanhop.stores.postgres import Postgres

DEFAULT_HOLD = timedelta(minutes=10)


@dataclass(frozen=True)
class LotTerms:
    """How a lot is burnt. `expires_at` None: never by itself."""

    priority: int = DEFAULT_PRIORITY
    expires_at: datetime | None = None


class Ledger:
    """Every method is one round trip. Raises StoreUnavailable; the result's outcome says what cannot be done.

    `clock`: in place of the database's, for tests.
    """

    def __init__(self, postgres: Postgres, clock: Clock | None = None) -> None:
        self._postgres = postgres
        self._store = LedgerStore(postgres, clock)
        self._gate = WalletGate()

    @asynccontextmanager
    async def crowd_kept_off(self, workspace_id: UUID) -> AsyncIterator[None]:
        """Around a transaction that does more than debit the wallet, before its connection is taken. Who has one
        already must not wait for those who wait for one."""
        async with nullcontext() if self._postgres.holds_connection else self._gate.pass_through(workspace_id):
            yield

    async def credit(
        self, workspace_id: UUID, kind: EntryKind, amount: int, facts: Facts, terms: LotTerms | None = None
    ) -> Result:
        """`kind`: grant, purchase or adjustment; a purchased lot is burnt after granted ones."""
        terms = terms or LotTerms()
        source = "purchased" if kind is EntryKind.PURCHASE else "granted"
        return await self._store.credit(workspace_id, kind, amount, source, terms.priority, terms.expires_at, facts)

    async def debit(
        self, workspace_id: UUID, kind: EntryKind, amount: int, facts: Facts, *, partly: bool = False
    ) -> Result:
        """INSUFFICIENT takes nothing; with `partly` what there is is taken and the rest is the shortfall, and NOTHING
        says that there was nothing: then there is no entry, and the key stays free."""
        return await self._store.debit(workspace_id, kind, amount, facts, partly=partly)

    async def reserve(self, workspace_id: UUID, amount: int, facts: Facts, hold: timedelta = DEFAULT_HOLD) -> Result:
        """The result's id is what `settle` and `release` take; what is not ended within `hold` is given back."""
        return await self._store.reserve(workspace_id, amount, hold, facts)

    async def settle(self, workspace_id: UUID, reservation_id: UUID, amount: int, units: int | None = None) -> Result:
        """`amount` may be less than was reserved, 0 too, or more: then what is available is taken beyond it, and what
        is not there is the shortfall. After a time-out nothing is held any more, and what is available is taken."""
        return await self._store.settle(workspace_id, reservation_id, amount, units)

    async def release(self, workspace_id: UUID, reservation_id: UUID) -> Result:
        return await self._store.release(workspace_id, reservation_id)

    async def refund(self, workspace_id: UUID, entry_id: UUID, amount: int | None, facts: Facts) -> Result:
        """Of usage or of a deduction; None: all that was not given back yet. EXCESSIVE says in `shortfall` how much
        that is. Credits whose lot has expired come back in a new lot that lasts REFUND_GRACE."""
        return await self._store.refund(workspace_id, entry_id, amount, REFUND_GRACE, facts)

    async def use_tokens(self, workspace_id: UUID, *said: object) -> Result:
        """As LedgerStore.use_tokens."""
        return await self._store.use_tokens(workspace_id, *said)

    async def tidy(self, workspace_id: UUID) -> None:
        await self._store.tidy(workspace_id)

"""Whatever is done to a wallet, in whatever order, the ledger does what a plain model of it does."""

import asyncio
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from control_api.credits.ledger import Ledger, LotTerms
from control_api.credits.model import REFUND_GRACE, EntryKind, Facts
from control_api.credits.proof import LedgerProof
from scanhop.stores.postgres import Postgres
from tests.ledger_model import LedgerModel

START = datetime(2026, 11, 1, tzinfo=UTC)
AMOUNTS = st.integers(1, 12)
KEYS = st.none() | st.sampled_from(["a", "b", "c"])
LOTS = """
    SELECT seq, remaining, held FROM credit_lots WHERE workspace_id = $1 ORDER BY seq
"""


class Wallets:
    """The real ledger, called from a test that is not async."""

    def __init__(self, dsn):
        self.loop = asyncio.new_event_loop()
        self.postgres = Postgres(dsn, max_connections=8, command_timeout_s=10)
        self.now = START

    def run(self, work):
        return self.loop.run_until_complete(work)

    def ledger(self):
        return Ledger(self.postgres, lambda: self.now)

    def close(self):
        self.run(self.postgres.close())
        self.loop.close()


@pytest.fixture
def wallets(postgres_dsn):
    opened = Wallets(postgres_dsn)
    yield opened
    opened.close()


def told(result):
    return result.outcome.value, result.charged, result.shortfall


class LedgerMachine(RuleBasedStateMachine):
    wallets: Wallets

    reservations = Bundle("reservations")
    usages = Bundle("usages")

    def __init__(self):
        super().__init__()
        self.workspace = uuid4()
        self.ledger = self.wallets.ledger()
        self.others = [self.wallets.ledger() for _ in range(2)]  # as if of other processes
        self.model = LedgerModel(REFUND_GRACE / timedelta(days=1))
        self.days = 0
        self.ids = {}
        self.wallets.now = START

    def do(self, work):
        return self.wallets.run(work)

    def facts(self, key=None):
        return Facts("test", idempotency_key=key)

    @rule(days=st.sampled_from([0.25, 1, 3, 40]))
    def time_goes_by(self, days):
        self.days += days
        self.wallets.now = START + timedelta(days=self.days)

    @initialize(soon=AMOUNTS, late=AMOUNTS, bought=AMOUNTS)
    def open_wallet(self, soon, late, bought):
        """Lots to choose from: few examples would come to have them otherwise."""
        self.credit(EntryKind.PURCHASE, bought, 100, 5, None)
        self.credit(EntryKind.GRANT, late, 100, 5, None)
        self.credit(EntryKind.GRANT, soon, 100, 1, None)

    def credit(self, kind, amount, priority, lasts, key):
        ends = None if lasts is None else self.wallets.now + timedelta(days=lasts)
        real = self.do(self.ledger.credit(self.workspace, kind, amount, self.facts(key), LotTerms(priority, ends)))
        ends = self.model.FOREVER if lasts is None else self.days + lasts
        assert told(real) == self.model.credit(self.days, kind.value, amount, priority, ends, key)

    @rule(
        kind=st.sampled_from([EntryKind.GRANT, EntryKind.PURCHASE]),
        amount=AMOUNTS,
        priority=st.sampled_from([1, 100]),
        lasts=st.none() | st.sampled_from([1, 2, 5]),
        key=KEYS,
    )
    def credits_come(self, kind, amount, priority, lasts, key):
        self.credit(kind, amount, priority, lasts, key)

    @rule(target=usages, amount=AMOUNTS, partly=st.booleans(), key=KEYS)
    def debit(self, amount, partly, key):
        work = self.ledger.debit(self.workspace, EntryKind.USAGE, amount, self.facts(key), partly=partly)
        real = self.do(work)
        assert told(real) == self.model.debit(self.days, amount, partly, key)
        if real.outcome == "done":
            self.ids[len(self.model.entries) - 1] = real.id
            return len(self.model.entries) - 1
        return multiple()

    @rule(count=st.integers(2, 6))
    def debit_at_once(self, count):
        """In some order: what is taken depends on it, that the wallet is not overdrawn does not."""

        async def debit_all():
            debits = (
                each.debit(self.workspace, EntryKind.USAGE, 7, self.facts()) for each in (self.others * 3)[:count]
            )
            return await asyncio.gather(*debits)

        real = sorted(told(each) for each in self.do(debit_all()))
        assert real == sorted(self.model.debit(self.days, 7, False, None) for _ in range(count))

    @rule(key=KEYS.filter(bool), amount=AMOUNTS)
    def the_same_key_at_once(self, key, amount):
        async def debit_twice():
            debits = (
                each.debit(self.workspace, EntryKind.USAGE, amount, self.facts(key))
                for each in (self.ledger, *self.others)
            )
            return await asyncio.gather(*debits)

        real = sorted(told(each) for each in self.do(debit_twice()))
        assert real == sorted(self.model.debit(self.days, amount, False, key) for _ in range(3))

    @rule(target=reservations, amount=AMOUNTS, hours=st.sampled_from([1, 30, 240]))
    def reserve(self, amount, hours):
        work = self.ledger.reserve(self.workspace, amount, self.facts(), timedelta(hours=hours))
        real = self.do(work)
        name = len(self.ids), "reservation"
        assert told(real) == self.model.reserve(self.days, name, amount, self.days + hours / 24)
        if real.outcome == "done":
            self.ids[name] = real.id
            return name
        return multiple()

    @rule(name=reservations, amount=st.integers(0, 50))
    def settle(self, name, amount):
        real = self.do(self.ledger.settle(self.workspace, self.ids[name], amount))
        assert told(real) == self.model.settle(self.days, name, amount)

    @rule(name=reservations)
    def release(self, name):
        real = self.do(self.ledger.release(self.workspace, self.ids[name]))
        assert told(real) == self.model.release(self.days, name)

    @rule(entry=usages, amount=st.none() | AMOUNTS)
    def refund(self, entry, amount):
        real = self.do(self.ledger.refund(self.workspace, self.ids[entry], amount, self.facts()))
        assert told(real) == self.model.refund(self.days, entry, amount)

    @rule()
    def sweep(self):
        self.do(self.ledger.tidy(self.workspace))
        self.model.tidy(self.days)

    @invariant()
    def lots_are_what_the_model_says(self):
        rows = self.do(self._rows())
        expected = [(lot.seq, lot.remaining, lot.held) for lot in self.model.lots.values()]
        assert [tuple(row) for row in rows] == sorted(expected)

    async def _rows(self):
        async with self.wallets.postgres.connection() as connection:
            return await connection.fetch(LOTS, self.workspace)

    def teardown(self):
        with suppress(AttributeError):
            report = self.do(LedgerProof(self.wallets.postgres).examine())
            assert report.agrees, report.disagreements


def machine_of(wallets):
    return type("Machine", (LedgerMachine,), {"wallets": wallets})


def test_the_ledger_does_what_the_model_does(wallets):
    bounded = settings(
        max_examples=60, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
    )
    run_state_machine_as_test(machine_of(wallets), settings=bounded)


@pytest.mark.soak
def test_the_ledger_does_what_the_model_does_at_length(wallets):
    long = settings(max_examples=300, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck))
    run_state_machine_as_test(machine_of(wallets), settings=long)

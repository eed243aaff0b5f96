"""Whatever is done to a wallet, in whatever order, the ledger does what a plain model of it does."""

import asyncio
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
from tests.ledger_model import FOREVER, LedgerModel

START = datetime(2026, 11, 1, tzinfo=UTC)
AMOUNTS = st.sampled_from([1, 3, 7, 12])  # few, so that they meet again under a key
KEYS = st.sampled_from([None, "a", "b"])
LOTS = "SELECT seq, remaining, held FROM credit_lots WHERE workspace_id = $1 ORDER BY seq"
ENTRIES = """
    SELECT kind, balance_after,
           (SELECT jsonb_object_agg(lot_seq, a.amount) FROM credit_allocations a
            WHERE a.workspace_id = e.workspace_id AND a.entry_seq = e.seq) AS parts
    FROM credit_entries e WHERE workspace_id = $1 ORDER BY seq
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


def facts(key=None):
    return Facts("test", idempotency_key=key)


class LedgerMachine(RuleBasedStateMachine):
    wallets: Wallets

    reservations = Bundle("reservations")
    taken = Bundle("taken")

    def __init__(self):
        super().__init__()
        self.workspace = uuid4()
        self.ledger = self.wallets.ledger()
        self.others = [self.wallets.ledger() for _ in range(2)]  # as if of other processes
        self.model = LedgerModel(START, REFUND_GRACE)
        self.wallets.now = START
        self.ids = {}

    def do(self, work):
        return self.wallets.run(work)

    def first_id(self, name, result):
        """A key's first result has the id that its later ones have."""
        assert self.ids.setdefault(name, result.id) == result.id

    @rule(days=st.sampled_from([0.25, 1, 3, 40]))
    def time_goes_by(self, days):
        self.wallets.now += timedelta(days=days)
        self.model.now = self.wallets.now

    @initialize(target=reservations, soon=AMOUNTS, late=AMOUNTS, bought=AMOUNTS)
    def open_wallet(self, soon, late, bought):
        """Lots to choose from, and a reservation of one that is not the first: few examples would come to have them
        otherwise."""
        self.credits_come(EntryKind.PURCHASE, bought, 100, 5, None)
        self.credits_come(EntryKind.GRANT, late, 100, 5, None)
        reservation = self.reserve(1, 30, None)
        self.credits_come(EntryKind.GRANT, soon, 100, 1, None)
        return reservation

    @rule(
        kind=st.sampled_from([EntryKind.GRANT, EntryKind.PURCHASE, EntryKind.ADJUSTMENT]),
        amount=AMOUNTS,
        priority=st.sampled_from([1, 100]),
        lasts=st.none() | st.sampled_from([1, 2, 5]),
        key=KEYS,
    )
    def credits_come(self, kind, amount, priority, lasts, key):
        ends = None if lasts is None else self.wallets.now + timedelta(days=lasts)
        real = self.do(self.ledger.credit(self.workspace, kind, amount, facts(key), LotTerms(priority, ends)))
        assert told(real) == self.model.credit(kind.value, amount, priority, ends or FOREVER, key)
        if key and real.id:
            self.first_id(key, real)

    @rule(
        target=taken,
        kind=st.sampled_from([EntryKind.USAGE, EntryKind.ADJUSTMENT]),
        amount=AMOUNTS,
        partly=st.booleans(),
        key=KEYS,
    )
    def debit(self, kind, amount, partly, key):
        real = self.do(self.ledger.debit(self.workspace, kind, amount, facts(key), partly=partly))
        assert told(real) == self.model.debit(kind.value, amount, partly, key)
        if key and real.id:
            self.first_id(key, real)
        return self.entry_of(real)

    @rule(count=st.integers(2, 6))
    def debit_at_once(self, count):
        """In some order: what is taken depends on it, that the wallet is not overdrawn does not."""

        async def debit_all():
            debits = (each.debit(self.workspace, EntryKind.USAGE, 7, facts()) for each in (self.others * 3)[:count])
            return await asyncio.gather(*debits)

        real = sorted(told(each) for each in self.do(debit_all()))
        assert real == sorted(self.model.debit("usage", 7, False, None) for _ in range(count))

    @rule(key=KEYS.filter(bool), amount=AMOUNTS)
    def the_same_key_at_once(self, key, amount):
        async def debit_thrice():
            debits = (
                each.debit(self.workspace, EntryKind.USAGE, amount, facts(key))
                for each in (self.ledger, *self.others)
            )
            return await asyncio.gather(*debits)

        real = self.do(debit_thrice())
        expected = sorted(self.model.debit("usage", amount, False, key) for _ in range(3))
        assert sorted(told(each) for each in real) == expected
        for each in real:
            if each.id:
                self.first_id(key, each)

    @rule(target=taken, request_id=st.sampled_from(["r1", "r2", "r3", "r4"]), price=st.integers(0, 12))
    def use_tokens(self, request_id, price):
        work = self.ledger.use_tokens(self.workspace, request_id, "m", price, 0, None, {}, price, 1, "test")
        real = self.do(work)
        assert told(real) == self.model.use_tokens(request_id, price)
        return self.entry_of(real)

    @rule(target=reservations, amount=AMOUNTS, hours=st.sampled_from([1, 30, 240]), key=KEYS)
    def reserve(self, amount, hours, key):
        hold = timedelta(hours=hours)
        real = self.do(self.ledger.reserve(self.workspace, amount, facts(key), hold))
        expected, reservation = self.model.reserve(amount, hold, key)
        assert told(real) == expected
        if reservation is None:
            return multiple()
        self.first_id(id(reservation), real)
        return reservation if real.outcome == "done" else multiple()

    @rule(target=taken, reservation=reservations, amount=AMOUNTS | st.sampled_from([0, 5, 40]))
    def settle(self, reservation, amount):
        real = self.do(self.ledger.settle(self.workspace, self.ids[id(reservation)], amount))
        assert told(real) == self.model.settle(reservation, amount)
        return self.entry_of(real)

    @rule(reservation=reservations)
    def release(self, reservation):
        real = self.do(self.ledger.release(self.workspace, self.ids[id(reservation)]))
        assert told(real) == self.model.release(reservation)

    @rule(entries=st.lists(taken, min_size=1, max_size=3), amount=st.none() | AMOUNTS, key=KEYS)
    def refund(self, entries, amount, key):
        """The same or several, under one key."""
        for seq in entries:
            real = self.do(self.ledger.refund(self.workspace, self.ids[seq], amount, facts(key)))
            assert told(real) == self.model.refund(seq, amount, key)
            if key and real.id:
                self.first_id(key, real)

    @rule()
    def sweep(self):
        self.do(self.ledger.tidy(self.workspace))
        self.model.tidy()

    def entry_of(self, result):
        """The number of the entry that a call made, for refunds."""
        if result.outcome != "done" or result.id is None:
            return multiple()
        seq = self.do(self.fetch("SELECT seq FROM credit_entries WHERE workspace_id = $1 AND id = $2", result.id))
        self.ids[seq[0]["seq"]] = result.id
        return seq[0]["seq"]

    @invariant()
    def books_are_what_the_model_says(self):
        lots = [
            (lot.seq, self.model.count(lot=lot), self.model.count(lot=lot, is_held=True)) for lot in self.model.lots
        ]
        assert [tuple(row) for row in self.do(self.fetch(LOTS))] == lots
        entries = [
            (row["kind"], {int(lot): amount for lot, amount in row["parts"].items()}, row["balance_after"])
            for row in self.do(self.fetch(ENTRIES))
        ]
        assert entries == [(each.kind, each.parts, each.balance_after) for each in self.model.entries]

    async def fetch(self, statement, *said):
        async with self.wallets.postgres.connection() as connection:
            return await connection.fetch(statement, self.workspace, *said)

    def teardown(self):
        report = self.do(LedgerProof(self.wallets.postgres).examine())
        assert report.agrees, report.disagreements


def machine_of(wallets):
    return type("Machine", (LedgerMachine,), {"wallets": wallets})


def test_the_ledger_does_what_the_model_does(wallets):
    bounded = settings(
        max_examples=100, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
    )
    run_state_machine_as_test(machine_of(wallets), settings=bounded)


@pytest.mark.soak
def test_the_ledger_does_what_the_model_does_at_length(wallets):
    long = settings(max_examples=300, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck))
    run_state_machine_as_test(machine_of(wallets), settings=long)

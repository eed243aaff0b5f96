"""What stands behind the ledger: append-only tables, constraints, retries, the gate, and the proof that finds what
got past all of them."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import asyncpg
import pytest

from control_api.credits.ledger import Ledger, LotTerms
from control_api.credits.model import EntryKind, Facts, Outcome
from control_api.credits.proof import LedgerProof
from control_api.credits.wallet_gate import WalletGate
from scanhop.cli.doctor import examine
from scanhop.settings import Settings
from scanhop.stores.errors import StoreUnavailable
from scanhop.stores.postgres import Postgres

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
FACTS = Facts("test")


@pytest.fixture
async def postgres(postgres_dsn):
    opened = Postgres(postgres_dsn, max_connections=12, command_timeout_s=10)
    yield opened
    await opened.close()


@pytest.fixture
def ledger(postgres):
    return Ledger(postgres, lambda: NOW)


async def credit(ledger, workspace, amount, **terms):
    result = await ledger.credit(workspace, EntryKind.GRANT, amount, FACTS, LotTerms(**terms))
    assert result.outcome is Outcome.DONE


async def debit(ledger, workspace, amount, key=None):
    return await ledger.debit(workspace, EntryKind.USAGE, amount, Facts("test", idempotency_key=key))


async def execute(dsn, *statements):
    connection = await asyncpg.connect(dsn)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


@pytest.mark.parametrize("table", ["credit_entries", "credit_allocations", "credit_prices"])
@pytest.mark.parametrize("statement", ["UPDATE {} SET {} = {}", "DELETE FROM {}", "TRUNCATE {} CASCADE"])
async def test_what_is_append_only_refuses_everything_else(ledger, postgres_dsn, table, statement):
    await credit(ledger, uuid4(), 5)
    column = "credits" if table == "credit_prices" else "amount"
    with pytest.raises(asyncpg.RestrictViolationError, match="append-only"):
        await execute(postgres_dsn, statement.format(table, column, column))


async def test_a_balance_below_zero_or_below_what_is_reserved_is_refused_by_the_table(ledger, postgres_dsn):
    workspace = uuid4()
    await credit(ledger, workspace, 5)
    await ledger.reserve(workspace, 3, FACTS)
    for balance in (-1, 2):
        with pytest.raises(asyncpg.CheckViolationError):
            await execute(postgres_dsn, f"UPDATE wallets SET balance = {balance}")


async def test_serialization_failures_are_tried_again_and_are_never_insufficient_funds(postgres_dsn):
    database = postgres_dsn.rpartition("/")[2]
    await execute(postgres_dsn, f"ALTER DATABASE {database} SET default_transaction_isolation = 'repeatable read'")
    postgres = Postgres(postgres_dsn, max_connections=7, command_timeout_s=10)
    ledger, workspace = Ledger(postgres, lambda: NOW), uuid4()
    await credit(ledger, workspace, 100)
    processes = [Ledger(postgres, lambda: NOW) for _ in range(6)]  # each with a queue of its own, as processes have
    results = await asyncio.gather(*(debit(each, workspace, 5) for each in processes * 4))
    assert sorted(each.outcome for each in results) == [Outcome.DONE] * 20 + [Outcome.INSUFFICIENT] * 4
    assert (await LedgerProof(postgres).examine()).agrees
    await postgres.close()


async def test_a_crowd_at_one_wallet_leaves_connections_to_the_others(postgres_dsn, ledger):
    """The wallet is locked by somebody: whoever waits for it holds one of the two connections."""
    few = Postgres(postgres_dsn, max_connections=2, command_timeout_s=10)
    crowd, hot, quiet = Ledger(few, lambda: NOW), uuid4(), uuid4()
    await credit(ledger, hot, 1000)
    await credit(ledger, quiet, 10)
    blocker = await asyncpg.connect(postgres_dsn)
    async with blocker.transaction():
        await blocker.execute("SELECT FROM wallets WHERE workspace_id = $1 FOR UPDATE", hot)
        waiting = [asyncio.create_task(debit(crowd, hot, 1)) for _ in range(20)]
        await asyncio.sleep(0.1)
        async with asyncio.timeout(5):
            assert (await debit(crowd, quiet, 1)).outcome is Outcome.DONE
        assert not any(task.done() for task in waiting)
    await asyncio.gather(*waiting)
    await blocker.close()
    await few.close()


async def test_a_call_that_postgres_refuses_takes_none_of_its_batch_along(ledger, postgres):
    """Among those that wait together one would overflow the balance."""
    workspace = uuid4()
    await credit(ledger, workspace, 100)
    huge = [ledger.credit(workspace, EntryKind.GRANT, (1 << 63) - 1, FACTS)]
    small = [ledger.credit(workspace, EntryKind.GRANT, 1, FACTS) for _ in range(5)]
    results = await asyncio.gather(*small[:3], *huge, *small[3:], return_exceptions=True)
    assert isinstance(results.pop(3), asyncpg.DataError)
    assert [each.outcome for each in results] == [Outcome.DONE] * 5
    assert (await debit(ledger, workspace, 105)).outcome is Outcome.DONE
    assert (await LedgerProof(postgres).examine()).agrees


async def test_a_wallet_that_is_locked_for_too_long_is_a_store_in_trouble(postgres_dsn, postgres, monkeypatch):
    monkeypatch.setattr("control_api.credits.wallet_queue.WAIT_S", 0.2)
    ledger, workspace = Ledger(postgres, lambda: NOW), uuid4()
    await credit(ledger, workspace, 10)
    blocker = await asyncpg.connect(postgres_dsn)
    async with blocker.transaction():
        await blocker.execute("SELECT FROM wallets WHERE workspace_id = $1 FOR UPDATE", workspace)
        with pytest.raises(StoreUnavailable):
            await debit(ledger, workspace, 1, key="k")
    await blocker.close()
    later = await debit(ledger, workspace, 1, key="k")
    assert (later.outcome, later.balance) == (Outcome.REPLAYED, 9)


async def test_a_gate_that_nobody_leaves_is_a_store_in_trouble():
    gate, workspace = WalletGate(at_once=1, wait_s=0.01), uuid4()
    async with gate.pass_through(workspace):
        with pytest.raises(StoreUnavailable):
            async with gate.pass_through(workspace):
                pass
        async with gate.pass_through(uuid4()):
            pass
    assert not gate._doors


async def test_a_lot_is_burnt_by_priority_then_expiry_then_granted_first_then_the_oldest(ledger, postgres):
    workspace, soon, late = uuid4(), NOW + timedelta(days=1), NOW + timedelta(days=9)
    await credit(ledger, workspace, 10)  # 1
    await ledger.credit(workspace, EntryKind.PURCHASE, 10, FACTS, LotTerms(expires_at=late))  # 2
    await credit(ledger, workspace, 10, expires_at=late)  # 3
    await credit(ledger, workspace, 10, expires_at=soon)  # 4
    await credit(ledger, workspace, 10, priority=1)  # 5
    await credit(ledger, workspace, 10, expires_at=late)  # 6
    for _ in range(6):
        await debit(ledger, workspace, 10)
    async with postgres.connection() as connection:
        rows = await connection.fetch(
            "SELECT lot_seq FROM credit_allocations WHERE workspace_id = $1 AND amount < 0 ORDER BY entry_seq",
            workspace,
        )
    assert [row["lot_seq"] for row in rows] == [5, 4, 3, 6, 2, 1]


async def test_an_expired_lot_pays_what_was_reserved_of_it_and_nothing_else(postgres_dsn, postgres):
    now = [NOW]
    ledger, workspace = Ledger(postgres, lambda: now[0]), uuid4()
    await credit(ledger, workspace, 100, expires_at=NOW + timedelta(hours=1))
    reservation = await ledger.reserve(workspace, 30, FACTS, timedelta(hours=5))
    now[0] += timedelta(hours=2)
    assert (await debit(ledger, workspace, 1)).outcome is Outcome.INSUFFICIENT
    await credit(ledger, workspace, 10)
    settled = await ledger.settle(workspace, reservation.id, 20)
    assert (settled.charged, settled.balance) == (20, 10)
    assert (await LedgerProof(postgres).examine()).agrees


async def test_what_is_settled_beyond_a_reservation_follows_the_burn_order(ledger, postgres):
    workspace = uuid4()
    await credit(ledger, workspace, 50, expires_at=NOW + timedelta(days=9))  # 1
    reservation = await ledger.reserve(workspace, 30, FACTS)
    await credit(ledger, workspace, 10, expires_at=NOW + timedelta(days=1))  # 2
    settled = await ledger.settle(workspace, reservation.id, 45)
    assert (settled.charged, settled.balance, settled.reserved) == (45, 15, 0)
    async with postgres.connection() as connection:
        rows = await connection.fetch("SELECT lot_seq, amount FROM credit_allocations WHERE entry_seq = 3 ORDER BY 1")
    assert [tuple(row) for row in rows] == [(1, -35), (2, -10)]
    assert (await LedgerProof(postgres).examine()).agrees


async def test_time_never_goes_back_from_one_entry_to_the_next(postgres):
    now = [NOW]
    ledger, workspace = Ledger(postgres, lambda: now[0]), uuid4()
    for minutes in (0, -5, 5, 4):
        now[0] = NOW + timedelta(minutes=minutes)
        await credit(ledger, workspace, 1)
    async with postgres.connection() as connection:
        rows = await connection.fetch("SELECT at FROM credit_entries ORDER BY seq")
    assert [(row["at"] - NOW) / timedelta(minutes=1) for row in rows] == [0, 0, 5, 5]


async def test_a_refund_after_the_lot_expired_comes_as_a_new_lot(postgres):
    now = [NOW]
    ledger, workspace = Ledger(postgres, lambda: now[0]), uuid4()
    await credit(ledger, workspace, 100, expires_at=NOW + timedelta(hours=1))
    used = await debit(ledger, workspace, 60)
    now[0] += timedelta(days=1)
    refunded = await ledger.refund(workspace, used.id, None, FACTS)
    assert (refunded.charged, refunded.balance) == (60, 60)
    now[0] += timedelta(days=29)
    assert (await debit(ledger, workspace, 1)).balance == 59
    now[0] += timedelta(days=2)
    assert (await debit(ledger, workspace, 1)).balance == 0


FAULTS = [
    ("UPDATE credit_entries SET balance_after = balance_after + 1 WHERE seq = 3", 3, "replay"),
    ("UPDATE credit_entries SET amount = amount - 1, asked = 100 WHERE seq = 2", 2, "replay"),
    ("DELETE FROM credit_allocations WHERE entry_seq = 3", 3, "allocations"),
    ("UPDATE wallets SET balance = balance + 7", None, "the balance is"),
    ("UPDATE credit_lots SET remaining = remaining - 1", 1, "lot 1"),
    ("UPDATE wallets SET reserved = 2", None, "reserved"),
]


@pytest.mark.parametrize(("fault", "seq", "told"), FAULTS)
async def test_the_doctor_finds_a_planted_disagreement_and_names_the_first_entry(
    ledger, postgres, postgres_dsn, fault, seq, told
):
    whole, broken = uuid4(), uuid4()
    await credit(ledger, whole, 50)
    await ledger.reserve(whole, 20, FACTS)
    await credit(ledger, broken, 50)
    for amount in (5, 6, 7):
        await debit(ledger, broken, amount)
    settings = Settings(postgres_dsn=postgres_dsn)
    well = (await examine(settings, ledger=True))[-1]
    assert (well.subject, well.is_well) == ("ledger", True)
    assert well.detail == "5 entries in 2 wallets agree with balances and lots"
    where = "AND" if "WHERE" in fault else "WHERE"
    await execute(
        postgres_dsn,
        "SET session_replication_role = replica; " + f"{fault} {where} workspace_id = '{broken}'",
    )
    report = await LedgerProof(postgres).examine()
    assert [each.workspace_id for each in report.disagreements] == [broken]
    assert report.disagreements[0].entry_seq == seq
    assert told in report.disagreements[0].detail
    sick = (await examine(settings, ledger=True))[-1]
    assert not sick.is_well
    assert str(broken) in sick.detail


async def test_the_proof_takes_the_time_it_needs(ledger, postgres_dsn):
    """More than a request has: the session's time-outs are over while somebody locks the entries."""
    await credit(ledger, uuid4(), 5)
    hasty = Postgres(f"{postgres_dsn}?statement_timeout=1000", max_connections=1, command_timeout_s=1)
    blocker = await asyncpg.connect(postgres_dsn)
    async with blocker.transaction():
        await blocker.execute("LOCK TABLE credit_entries IN ACCESS EXCLUSIVE MODE")
        proof = asyncio.create_task(LedgerProof(hasty).run())
        await asyncio.sleep(1.3)
    assert await proof == {"wallets": 1, "entries": 1}
    await blocker.close()
    await hasty.close()

"""The ways in which a ledger is usually written: several statements in a transaction, the wallet locked by the first.

`NaiveBalance` keeps a balance and entries, and nothing else: no key, no lots. `NaiveBooks` keeps what the product
keeps (key, lots in burn order, allocations), a statement at a time, in tables of the same shape.
"""

from uuid import UUID, uuid4

from scanhop.stores.postgres import Postgres

TABLES = """
CREATE TABLE naive_wallets (workspace_id uuid PRIMARY KEY, balance bigint NOT NULL CHECK (balance >= 0),
                            entries bigint NOT NULL DEFAULT 0) WITH (fillfactor = 50);
CREATE TABLE naive_entries (workspace_id uuid, seq bigint, id uuid, at timestamptz DEFAULT now(), kind text,
                            amount bigint, balance_after bigint, idempotency_key text,
                            PRIMARY KEY (workspace_id, seq));
CREATE UNIQUE INDEX naive_entries_key ON naive_entries (workspace_id, idempotency_key)
    WHERE idempotency_key IS NOT NULL;
CREATE INDEX naive_entries_at ON naive_entries (workspace_id, at);
CREATE TABLE naive_lots (workspace_id uuid, seq bigint, remaining bigint, expires_at timestamptz DEFAULT 'infinity',
                         PRIMARY KEY (workspace_id, seq)) WITH (fillfactor = 70);
CREATE TABLE naive_allocations (workspace_id uuid, entry_seq bigint, lot_seq bigint, amount bigint,
                                PRIMARY KEY (workspace_id, entry_seq, lot_seq));
"""
LOCK = "SELECT balance, entries FROM naive_wallets WHERE workspace_id = $1 FOR UPDATE"
UPDATE = "UPDATE naive_wallets SET balance = balance - $2, entries = entries + 1 WHERE workspace_id = $1"
INSERT = (
    "INSERT INTO naive_entries (workspace_id, seq, id, kind, amount, balance_after, idempotency_key) "
    "VALUES ($1, $2, $3, 'usage', $4, $5, $6)"
)
FIND_KEY = "SELECT seq FROM naive_entries WHERE workspace_id = $1 AND idempotency_key = $2"
LIST_LOTS = (
    "SELECT seq, remaining FROM naive_lots WHERE workspace_id = $1 AND remaining > 0 AND expires_at > now() "
    "ORDER BY expires_at, seq"
)
TAKE = "UPDATE naive_lots SET remaining = remaining - $3 WHERE workspace_id = $1 AND seq = $2"
ALLOCATE = "INSERT INTO naive_allocations VALUES ($1, $2, $3, $4)"


class NaiveBalance:
    """SELECT ... FOR UPDATE, then UPDATE and INSERT."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def fill(self, workspace_id: UUID, amount: int) -> None:
        async with self._postgres.connection() as connection:
            await connection.execute("INSERT INTO naive_wallets VALUES ($1, $2)", workspace_id, amount)
            await connection.execute("INSERT INTO naive_lots VALUES ($1, 0, $2)", workspace_id, amount)

    async def debit(self, workspace_id: UUID, amount: int) -> bool:
        async with self._postgres.transaction() as connection:
            balance, entries = await connection.fetchrow(LOCK, workspace_id) or (0, 0)
            if balance < amount:
                return False
            await connection.execute(UPDATE, workspace_id, amount)
            await connection.execute(INSERT, workspace_id, entries + 1, uuid4(), -amount, balance - amount, None)
        return True


class NaiveBooks(NaiveBalance):
    """The same with key, lots and allocations."""

    async def debit(self, workspace_id: UUID, amount: int) -> bool:
        key = str(uuid4())
        async with self._postgres.transaction() as connection:
            balance, entries = await connection.fetchrow(LOCK, workspace_id) or (0, 0)
            if await connection.fetchrow(FIND_KEY, workspace_id, key):
                return True
            if balance < amount:
                return False
            seq, rest = entries + 1, amount
            await connection.execute(UPDATE, workspace_id, amount)
            await connection.execute(INSERT, workspace_id, seq, uuid4(), -amount, balance - amount, key)
            for lot, remaining in await connection.fetch(LIST_LOTS, workspace_id):
                part = min(rest, remaining)
                await connection.execute(TAKE, workspace_id, lot, part)
                await connection.execute(ALLOCATE, workspace_id, seq, lot, -part)
                rest -= part
                if not rest:
                    break
        return True

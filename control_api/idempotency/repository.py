"""Idempotency records in Postgres, and how old ones go."""

from datetime import datetime, timedelta

from control_api.clock import Clock
from control_api.idempotency.request_print import lock_number_of
from scanhop.stores.postgres import Connection, Postgres
from scanhop.stores.sql import load_queries

KEPT = timedelta(hours=24)
DELETED_AT_ONCE = 5_000


class IdempotencyRecords:
    """Reads its statements once. Each method runs in the transaction of the connection it is given."""

    def __init__(self) -> None:
        self._sql = load_queries("control_api.idempotency")

    async def try_lock(self, connection: Connection, record_id: bytes) -> bool:
        locked: bool = await connection.fetchval(self._sql["try_lock"], lock_number_of(record_id))
        return locked

    async def find(self, connection: Connection, record_id: bytes, now: datetime) -> tuple[bytes, bytes] | None:
        """(hash of the request, sealed answer)."""
        row = await connection.fetchrow(self._sql["find_record"], record_id, now - KEPT)
        return None if row is None else (row["request_hash"], row["answer"])

    async def put(
        self, connection: Connection, record_id: bytes, now: datetime, request_hash: bytes, sealed: bytes
    ) -> None:
        await connection.execute(self._sql["put_record"], record_id, now, request_hash, sealed)

    async def delete_some_old(self, connection: Connection, now: datetime) -> int:
        deleted: int = await connection.fetchval(self._sql["delete_old_records"], now - KEPT, DELETED_AT_ONCE)
        return deleted


async def delete_old_records(postgres: Postgres, clock: Clock) -> None:
    """All that are too old, some at a time. Raises StoreError."""
    records = IdempotencyRecords()
    deleted = DELETED_AT_ONCE
    while deleted == DELETED_AT_ONCE:
        async with postgres.checked_connection() as connection:
            deleted = await records.delete_some_old(connection, clock())

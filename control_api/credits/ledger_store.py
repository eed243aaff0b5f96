"""The functions of the schema that write the ledger: one statement, one round trip each.

Outside of a transaction the calls for one wallet queue up, and those that wait go together (`wallet_queue`). What
Postgres gave up in favour of another (serialization failure, deadlock) has had no effect and is sent again, TRIES
times in all; then it is StoreUnavailable, never an answer about credits. Within a transaction that is open already it
cannot be sent again: StoreUnavailable at once.
"""

import asyncio
import random
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg

from control_api.clock import Clock, new_id, utc_now
from control_api.credits.model import Facts, Outcome, Result
from control_api.credits.wallet_queue import WalletQueue
from scanhop.stores.errors import StoreUnavailable
from scanhop.stores.postgres import Connection, Postgres
from scanhop.stores.sql import load_queries

TRIES = 6
FIRST_PAUSE_S = 0.005
GIVEN_UP = (asyncpg.SerializationError, asyncpg.DeadlockDetectedError, asyncpg.LockNotAvailableError)


class LedgerStore:
    """Reads its statements once. Raises StoreUnavailable."""

    def __init__(self, postgres: Postgres, clock: Clock | None) -> None:
        """`clock` None: the database's."""
        self._postgres = postgres
        self._clock = clock
        self._sql = load_queries("control_api.credits", "ledger.sql")
        self._queue = WalletQueue(self._run)

    async def credit(  # noqa: PLR0913 - the columns
        self,
        workspace_id: UUID,
        kind: str,
        amount: int,
        source: str,
        priority: int,
        expires_at: datetime | None,
        facts: Facts,
    ) -> Result:
        said = (_new_id(), kind, amount, source, priority, expires_at, *_columns(facts))
        return await self._call("credit", workspace_id, *said)

    async def debit(self, workspace_id: UUID, kind: str, amount: int, facts: Facts, *, partly: bool) -> Result:
        return await self._call("debit", workspace_id, _new_id(), kind, amount, partly, *_columns(facts))

    async def reserve(self, workspace_id: UUID, amount: int, hold: timedelta, facts: Facts) -> Result:
        return await self._call("reserve", workspace_id, _new_id(), amount, hold, *_columns(facts))

    async def settle(self, workspace_id: UUID, reservation_id: UUID, amount: int, units: int | None) -> Result:
        return await self._call("settle", workspace_id, _new_id(), reservation_id, amount, units, {})

    async def release(self, workspace_id: UUID, reservation_id: UUID) -> Result:
        return await self._call("release", workspace_id, reservation_id)

    async def refund(
        self, workspace_id: UUID, entry_id: UUID, amount: int | None, grace: timedelta, facts: Facts
    ) -> Result:
        return await self._call("refund", workspace_id, _new_id(), entry_id, amount, grace, *_columns(facts))

    async def use_tokens(self, workspace_id: UUID, *said: object) -> Result:
        """`said`: request id, model, prompt and completion tokens, cost, metadata, price, its version, actor."""
        return await self._call("use_tokens", workspace_id, _new_id(), *said)

    async def tidy(self, workspace_id: UUID) -> None:
        """Whatever has run out by now."""
        await self._fetch("tidy", workspace_id)

    async def _call(self, name: str, workspace_id: UUID, *arguments: object) -> Result:
        outcome, *rest = await self._fetch(name, workspace_id, *arguments)
        return Result(Outcome(outcome), *rest)

    async def _fetch(self, name: str, workspace_id: UUID, *said: object) -> Any:
        arguments = (workspace_id, self._clock and self._clock(), *said)
        if not self._postgres.is_joined:
            return await self._queue.call(workspace_id, name, arguments)
        async with self._postgres.connection() as connection:
            try:
                return await connection.fetchrow(self._sql[name], *arguments)
            except GIVEN_UP as error:
                raise StoreUnavailable(f"postgres: {error}") from error

    async def _run(self, name: str, calls: Sequence[Sequence[object]]) -> Sequence[Any]:
        """All of them in one transaction, or none."""
        pause_s = FIRST_PAUSE_S
        async with self._postgres.connection() as connection:
            for _ in range(TRIES - 1):
                with suppress(*GIVEN_UP):
                    return await _send(connection, self._sql[name], calls)
                await asyncio.sleep(pause_s * (0.5 + random.random()))  # noqa: S311 - no secret
                pause_s *= 2
            try:
                return await _send(connection, self._sql[name], calls)
            except GIVEN_UP as error:
                raise StoreUnavailable(f"postgres: {error}") from error


async def _send(connection: Connection, statement: str, calls: Sequence[Sequence[object]]) -> Sequence[Any]:
    if len(calls) == 1:
        return [await connection.fetchrow(statement, *calls[0])]
    return await connection.fetchmany(statement, calls)


def _new_id() -> UUID:
    return new_id(utc_now())


def _columns(facts: Facts) -> tuple[object, ...]:
    return (
        facts.reference,
        facts.idempotency_key,
        facts.action,
        facts.units,
        facts.price_version,
        facts.reason,
        facts.actor,
        facts.details,
    )

"""Keeps the crowd of one wallet from taking every connection, where the debit is part of a larger transaction.

Who debits a hot wallet waits for its row anyway. Waiting with a connection in hand would starve all the others of
the pool, so each wallet lets AT_ONCE in at a time, per process, before a connection is taken. (Calls that are
nothing but a debit queue up: `wallet_queue`.) Who has a connection already is let through.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

from scanhop.stores.errors import StoreUnavailable

AT_ONCE = 3
WAIT_S = 10.0


class WalletGate:
    """Holds a semaphore for each wallet that somebody is at, and none for the others."""

    def __init__(self, at_once: int = AT_ONCE, wait_s: float = WAIT_S) -> None:
        self._at_once = at_once
        self._wait_s = wait_s
        self._doors: dict[UUID, tuple[asyncio.Semaphore, int]] = {}

    @asynccontextmanager
    async def pass_through(self, workspace_id: UUID) -> AsyncIterator[None]:
        """Raises StoreUnavailable when nobody leaves for too long."""
        door, guests = self._doors.get(workspace_id) or (asyncio.Semaphore(self._at_once), 0)
        self._doors[workspace_id] = door, guests + 1
        try:
            await self._enter(door)
            try:
                yield
            finally:
                door.release()
        finally:
            guests = self._doors[workspace_id][1] - 1
            if guests:
                self._doors[workspace_id] = door, guests
            else:
                del self._doors[workspace_id]

    async def _enter(self, door: asyncio.Semaphore) -> None:
        try:
            async with asyncio.timeout(self._wait_s):
                await door.acquire()
        except TimeoutError as error:
            raise StoreUnavailable("postgres: too many calls for one wallet at once") from error

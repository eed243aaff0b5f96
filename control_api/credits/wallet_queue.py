"""Calls for one wallet, one after the other, those that wait together in one transaction.

Whoever debits a hot wallet waits for its row until the one before has committed: one by one they are as slow as the
disk's fsync. Waiting with a connection in hand would starve all the others of the pool, too. So each wallet has one
call under way per process, before a connection is taken, and what came meanwhile goes together next: one connection,
one commit, a result each.

A batch that fails for a fault in one of its calls has had no effect, and its calls are sent one by one. When a store
is in trouble all of them are told so. Whoever waits longer than WAIT_S is told so too; the call may still be done.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from scanhop.stores.errors import StoreError, StoreUnavailable

MOST_AT_ONCE = 64
WAIT_S = 10.0

Run = Callable[[str, Sequence[Sequence[object]]], Awaitable[Sequence[Any]]]


@dataclass(frozen=True)
class _Call:
    name: str
    arguments: Sequence[object]
    answer: asyncio.Future[Any]


class WalletQueue:
    """`run`: does calls of one name in one transaction and gives their rows in order. Holds something only for
    wallets at which somebody is."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._waiting: dict[UUID, deque[_Call]] = {}
        self._workers: set[asyncio.Task[None]] = set()

    async def call(self, workspace_id: UUID, name: str, arguments: Sequence[object]) -> Any:
        """The row. Raises what `run` raises, StoreUnavailable after a long wait."""
        call = _Call(name, arguments, asyncio.get_running_loop().create_future())
        if workspace_id in self._waiting:
            self._waiting[workspace_id].append(call)
        else:
            self._waiting[workspace_id] = deque([call])
            worker = asyncio.create_task(self._work(workspace_id))
            self._workers.add(worker)
            worker.add_done_callback(self._workers.discard)
        try:
            async with asyncio.timeout(WAIT_S):
                return await call.answer
        except TimeoutError as error:
            raise StoreUnavailable("postgres: too many calls for one wallet at once") from error

    async def _work(self, workspace_id: UUID) -> None:
        waiting = self._waiting[workspace_id]
        try:
            while waiting:
                if batch := _next_batch(waiting):
                    await self._answer(batch)
        finally:
            del self._waiting[workspace_id]
            for call in waiting:
                _refuse([call], StoreUnavailable("postgres: the process ends"))

    async def _answer(self, batch: Sequence[_Call]) -> None:
        try:
            rows = await self._run(batch[0].name, [call.arguments for call in batch])
        except StoreError as error:
            _refuse(batch, error)
        except asyncio.CancelledError:
            _refuse(batch, StoreUnavailable("postgres: the process ends"))
            raise
        except Exception as error:  # noqa: BLE001 - whoever called gets it
            if len(batch) == 1:
                _refuse(batch, error)
                return
            for call in batch:
                await self._answer([call])
        else:
            for call, row in zip(batch, rows, strict=True):
                if not call.answer.done():
                    call.answer.set_result(row)


def _next_batch(waiting: deque[_Call]) -> Sequence[_Call]:
    """Neighbours of one name; whoever gave up meanwhile is left out."""
    batch: list[_Call] = []
    while waiting and len(batch) < MOST_AT_ONCE and (not batch or waiting[0].name == batch[0].name):
        call = waiting.popleft()
        if not call.answer.done():
            batch.append(call)
    return batch


def _refuse(batch: Sequence[_Call], error: Exception) -> None:
    for call in batch:
        if not call.answer.done():
            call.answer.set_exception(error)

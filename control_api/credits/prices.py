"""The price list: what each action costs, in versions that never change.

A process asks Postgres for the list at most once every FRESH_S, so a new price holds everywhere within that time of
its `valid_from`, and at once in the process that set it. Whatever was charged keeps the version it was charged by.
An action without a price costs nothing; an AI model without one is unknown, unless there is a price for `*`.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from datetime import datetime

from control_api.audit.trail import AuditTrail
from control_api.clock import Clock
from control_api.credits.model import AI_TOKENS, ANY_MODEL, TOKENS_PER_PRICE, NewPrice, Price
from control_api.credits.platform_repository import PlatformRepository
from control_api.web.problem import invalid_parameter
from scanhop.stores.postgres import Postgres

FRESH_S = 1.0


class PriceList:
    """Raises StoreUnavailable."""

    def __init__(
        self,
        postgres: Postgres,
        repository: PlatformRepository,
        clock: Clock,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._postgres = postgres
        self._repository = repository
        self._clock = clock
        self._monotonic = monotonic
        self._asking = asyncio.Lock()
        self._known: Sequence[Price] = ()
        self._fresh_until = float("-inf")

    async def find(self, action: str, model: str = "") -> Price | None:
        """What it costs now; None: nothing was set, or it is no longer priced."""
        now = self._clock()
        found = None
        for price in await self._list_known():
            if (price.action, price.model) == (action, model) and price.valid_from <= now:
                found = price
        return found if found is not None and found.credits is not None else None

    async def find_for_model(self, model: str) -> Price | None:
        return await self.find(AI_TOKENS, model) or await self.find(AI_TOKENS, ANY_MODEL)

    async def list_current(self) -> list[Price]:
        """One for each action and model that is priced, by name."""
        now, current = self._clock(), {}
        for price in await self._list_known():
            if price.valid_from <= now:
                current[price.action, price.model] = price
        return sorted(
            (price for price in current.values() if price.credits is not None),
            key=lambda price: (price.action, price.model),
        )

    async def list_versions(self, before: int | None, limit: int) -> list[tuple[Price, datetime]]:
        async with self._postgres.connection() as connection:
            return await self._repository.list_prices(connection, before, limit)

    async def set_price(self, new: NewPrice, set_by: str, audit: AuditTrail) -> Price:
        """Raises Problem."""
        now = self._clock()
        valid_from = new.valid_from or now
        if valid_from < now:
            raise invalid_parameter("valid_from", "must not lie in the past: what was charged stays as it is")
        async with self._postgres.transaction() as connection:
            price = await self._repository.create_price(connection, new, valid_from, set_by, now)
            changes = {
                "version": price.version,
                "credits": price.credits,
                "completion_credits": price.completion_credits,
                "valid_from": valid_from.isoformat(),
            }
            name = f"{price.action}:{price.model}" if price.model else price.action
            await audit.record(
                connection, None, set_by, "credit_price.set", name, now, changes=changes, reason=new.reason
            )
        await self._postgres.after_commit(self._forget)
        return price

    async def _forget(self) -> None:
        self._fresh_until = float("-inf")

    async def _list_known(self) -> Sequence[Price]:
        """In the order in which they come to hold."""
        if self._monotonic() < self._fresh_until:
            return self._known
        # Who has a connection already must not wait for one who waits for a connection.
        async with nullcontext() if self._postgres.holds_connection else self._asking:
            if self._monotonic() >= self._fresh_until:
                await self._ask()
            return self._known

    async def _ask(self) -> None:
        asked_at = self._monotonic()
        async with self._postgres.connection(joins=False) as connection:
            found = await self._repository.list_current_prices(connection, self._clock())
        self._known = sorted(found, key=lambda price: (price.valid_from, price.version))
        self._fresh_until = asked_at + FRESH_S


def tokens_price(price: Price, prompt_tokens: int, completion_tokens: int) -> int:
    """Of one request, rounded up once."""
    millionths = (price.credits or 0) * prompt_tokens + (price.completion_credits or 0) * completion_tokens
    return -(-millionths // TOKENS_PER_PRICE)

"""What routes cost: declared on the route, charged around its handler.

    @router.post("/v1/qr-codes", ...)
    @costs("qr_code.created", effect=Effect.POSTGRES)
    async def create_qr_code(...): ...

The handler runs once the caller is admitted and the request is valid; it is charged only when it has answered.
- Effect.POSTGRES: what it does and the debit are one transaction, the debit last, so that the wallet is locked for a
  moment only. Both happen or neither; a wallet that holds less undoes the work. How many units there were may be told
  from the answer.
- Effect.ELSEWHERE: the price of one unit is reserved before, settled after success, released after failure. When the
  process dies between, the reservation's time-out gives it back; when settling fails the answer stands, uncharged.
- `Charging.metered` is for work whose amount shows while it is done, such as a streamed export.

A price of 0, or none, costs nothing: no statement, no entry. Platform admins are never charged.
"""

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from functools import wraps
from typing import Any, TypeVar
from uuid import UUID

import structlog
from fastapi import Request
from starlette.responses import Response

from control_api.credits.ledger import DEFAULT_HOLD, Ledger
from control_api.credits.model import ACTIONS, EntryKind, Facts, Outcome, Price, Result
from control_api.credits.prices import PriceList
from control_api.web.authentication import Member
from control_api.web.problem import Problem
from control_api.web.problem_catalogue import ProblemKind
from scanhop.stores.errors import StoreError
from scanhop.stores.postgres import Postgres
from scanhop.telemetry.logs import get_logger

Answer = TypeVar("Answer")
Handler = Callable[..., Awaitable[Answer]]


class Effect(Enum):
    """Where a handler's work takes place."""

    POSTGRES = "postgres"
    ELSEWHERE = "elsewhere"


@dataclass(frozen=True)
class Cost:
    """`units`: how many there were, by the answer; only where the effect is Postgres'."""

    action: str
    effect: Effect
    units: Callable[[Any], int]


class Meter:
    """Counts what is to be paid for."""

    def __init__(self) -> None:
        self.units = 0


class Charging:
    """Charges members for what they do. Raises Problem, StoreUnavailable."""

    def __init__(self, postgres: Postgres, ledger: Ledger, prices: PriceList) -> None:
        self._postgres = postgres
        self._ledger = ledger
        self._prices = prices

    async def charge(self, caller: Member, cost: Cost, handle: Callable[[], Awaitable[Answer]]) -> Answer:
        """The answer of `handle`, paid for."""
        price = await self._prices.find(cost.action)
        if price is None or not price.credits:
            return await handle()
        if cost.effect is Effect.POSTGRES:
            return await self._charge_within(caller, cost, price, handle)
        async with self.metered(caller, cost.action, _one) as meter:
            answer = await handle()
            meter.units = 0 if _is_free(answer) else 1
        return answer

    @asynccontextmanager
    async def metered(
        self, caller: Member, action: str, count: Callable[[], Awaitable[int]], hold: timedelta = DEFAULT_HOLD
    ) -> AsyncIterator[Meter]:
        """Reserves as many units as `count` expects, one at least, and settles what the meter says at the end,
        however that came; nothing counted releases it all. More than was expected is taken as far as there is any."""
        meter, price = Meter(), await self._prices.find(action)
        if price is None or not price.credits:
            yield meter
            return
        expected = max(1, await count())
        wanted = price.credits * expected
        reserved = await self._ledger.reserve(caller.workspace_id, wanted, _facts(caller, price, expected), hold)
        _require_paid(reserved, action, wanted)
        reservation_id = reserved.id
        if reservation_id is None:
            raise RuntimeError("a reservation without an id")
        try:
            yield meter
        finally:
            if meter.units:
                await asyncio.shield(self._settle(caller, reservation_id, price.credits, meter.units))
            else:
                await asyncio.shield(self._release(caller, reservation_id))

    async def _charge_within(
        self, caller: Member, cost: Cost, price: Price, handle: Callable[[], Awaitable[Answer]]
    ) -> Answer:
        """The gate is passed before a connection is taken for the work."""
        async with self._ledger.crowd_kept_off(caller.workspace_id), self._postgres.joined_transaction():
            answer = await handle()
            units = 0 if _is_free(answer) else cost.units(answer)
            wanted = (price.credits or 0) * units
            if wanted:
                facts = _facts(caller, price, units)
                paid = await self._ledger.debit(caller.workspace_id, EntryKind.USAGE, wanted, facts)
                _require_paid(paid, cost.action, wanted)
        return answer

    async def _settle(self, caller: Member, reservation_id: UUID, credits_each: int, units: int) -> None:
        try:
            await self._ledger.settle(caller.workspace_id, reservation_id, credits_each * units, units)
        except StoreError as error:
            get_logger().warning("charge_not_settled", reservation_id=str(reservation_id), error=str(error))

    async def _release(self, caller: Member, reservation_id: UUID) -> None:
        """Within a transaction that fails the reservation goes with it."""
        if self._postgres.is_joined:
            return
        try:
            await self._ledger.release(caller.workspace_id, reservation_id)
        except StoreError as error:
            get_logger().warning("charge_not_released", reservation_id=str(reservation_id), error=str(error))


def costs(
    action: str, *, effect: Effect = Effect.ELSEWHERE, units: Callable[[Any], int] = lambda answer: 1
) -> Callable[[Handler[Answer]], Handler[Answer]]:
    """Declares what a route costs; stands under the router's decorator. Raises ValueError for an unknown action."""
    if action not in ACTIONS:
        raise ValueError(f"there is no price for {action}")
    cost = Cost(action, effect, units)

    def declare(handle: Handler[Answer]) -> Handler[Answer]:
        signature = inspect.signature(handle)
        parameters = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in signature.parameters.values()]
        takes_request = any(each.name == "request" for each in parameters)  # FastAPI hands over one alone

        @wraps(handle)
        async def handle_charged(*, request: Request, **arguments: Any) -> Answer:
            if takes_request:
                arguments["request"] = request
            caller = request.state.caller
            if not isinstance(caller, Member):
                return await handle(**arguments)
            charging: Charging = request.app.state.charging
            return await charging.charge(caller, cost, lambda: handle(**arguments))

        if not takes_request:
            parameters.append(inspect.Parameter("request", inspect.Parameter.KEYWORD_ONLY, annotation=Request))
        handle_charged.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        handle_charged.__cost__ = cost  # type: ignore[attr-defined]
        return handle_charged

    return declare


def insufficient_credits(what: str, price: int, result: Result) -> Problem:
    return Problem(
        ProblemKind.INSUFFICIENT_CREDITS,
        f"{what} costs {price} credits; {result.available} are available.",
        members={"price": price, "balance": result.balance, "available": result.available},
    )


def _require_paid(result: Result, action: str, wanted: int) -> None:
    if result.outcome is Outcome.INSUFFICIENT:
        raise insufficient_credits(action, wanted, result)


def _facts(caller: Member, price: Price, units: int) -> Facts:
    """Where the entry came from is told by the request's id."""
    reference = structlog.contextvars.get_contextvars().get("request_id")
    return Facts(caller.actor, reference, action=price.action, units=units, price_version=price.version)


async def _one() -> int:
    return 1


def _is_free(answer: object) -> bool:
    """A failure, or what the client has at hand already."""
    return isinstance(answer, Response) and answer.status_code >= 300

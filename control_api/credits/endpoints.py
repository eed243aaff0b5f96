"""/v1/credits and /v1/token_used."""

from collections.abc import Awaitable
from datetime import timedelta
from typing import Annotated, TypeVar
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from starlette.responses import StreamingResponse

from control_api.clock import Clock
from control_api.credits import history_csv
from control_api.credits.administration import Administration
from control_api.credits.model import EntryKind, Facts, HistoryFilter
from control_api.credits.prices import PriceList
from control_api.credits.schemas import (
    BatchAnswer,
    CreditsAnswer,
    EntryPage,
    ItemResult,
    Kind,
    PriceAnswer,
    PricesAnswer,
    ReservationAnswer,
    ReservationWanted,
    SettingsAnswer,
    SettingsChange,
    SettlementAnswer,
    SettlementWanted,
    TokensCharged,
    TokensUsed,
    TokensUsedBatch,
    UsageAnswer,
)
from control_api.credits.service import DAY, Credits
from control_api.credits.token_usage import TokenCharge, TokenUsage
from control_api.credits.usage_reporter import Reporter
from control_api.web.authentication import MEMBER_PROBLEMS, Member, requires
from control_api.web.guarded_route import BODY_PROBLEMS, GuardedRoute
from control_api.web.moment import Bound
from control_api.web.paging import AskedPage
from control_api.web.problem import Problem, invalid_parameter, problem_responses
from control_api.web.problem_catalogue import ProblemKind
from control_api.web.text import Line
from scanhop.wire.ids import WorkspaceId

Found = TypeVar("Found")

DEFAULT_DAYS = 30
MAX_DAYS = 366

router = APIRouter(route_class=GuardedRoute, tags=["credits"])
Reader = Annotated[Member, requires("credits:read")]
Spender = Annotated[Member, requires("credits:spend")]
BillingReader = Annotated[Member, requires("billing:read")]
BillingWriter = Annotated[Member, requires("billing:write")]


def _credits(request: Request) -> Credits:
    wallets: Credits = request.app.state.credits
    return wallets


def _administration(request: Request) -> Administration:
    administration: Administration = request.app.state.credit_administration
    return administration


def _prices(request: Request) -> PriceList:
    prices: PriceList = request.app.state.prices
    return prices


def _token_usage(request: Request) -> TokenUsage:
    token_usage: TokenUsage = request.app.state.token_usage
    return token_usage


def _clock(request: Request) -> Clock:
    clock: Clock = request.app.state.clock
    return clock


Service = Annotated[Credits, Depends(_credits)]
Tokens = Annotated[TokenUsage, Depends(_token_usage)]
Holders = Annotated[Administration, Depends(_administration)]


@router.get("/v1/credits", summary="Get the balance", responses=problem_responses(*MEMBER_PROBLEMS))
async def get_credits(caller: Reader, wallets: Service) -> CreditsAnswer:
    """What the workspace holds, what is reserved of it, and what goes next."""
    return CreditsAnswer.of(await wallets.get_statement(caller.workspace_id))


@router.get(
    "/v1/credits/history",
    summary="List the entries of the ledger",
    response_model=EntryPage,
    responses={
        200: {"content": {"text/csv": {"schema": {"type": "string"}}}},
        **problem_responses(*MEMBER_PROBLEMS, ProblemKind.BAD_CURSOR, ProblemKind.INVALID_PARAMETERS),
    },
)
async def list_credit_history(  # noqa: PLR0913 - FastAPI hands over each by name
    request: Request,
    caller: Reader,
    wallets: Service,
    page: AskedPage,
    kind: Annotated[Kind | None, Query(description="Only these")] = None,
    reference: Annotated[Line | None, Query(description="Only what has this one")] = None,
    start: Annotated[Bound | None, Query(alias="from", description="A date in UTC, or an RFC 3339 time")] = None,
    end: Annotated[Bound | None, Query(alias="to", description="The same; not within")] = None,
) -> EntryPage | Response:
    """Newest first. With `Accept: text/csv` all of them at once, as CSV."""
    asked = HistoryFilter(None if kind is None else EntryKind(kind), reference, start, end)
    if "text/csv" in request.headers.get("accept", ""):
        rows = await history_csv.begin_csv(wallets.export_history(caller.workspace_id, asked))
        return StreamingResponse(rows, media_type=history_csv.MEDIA_TYPE)
    return EntryPage.of(await wallets.list_history(caller.workspace_id, asked, page))


@router.get(
    "/v1/credits/usage",
    summary="Get what was used per day",
    responses=problem_responses(*MEMBER_PROBLEMS, ProblemKind.INVALID_PARAMETERS),
)
async def get_credit_usage(
    caller: Reader,
    wallets: Service,
    clock: Annotated[Clock, Depends(_clock)],
    start: Annotated[
        Bound | None, Query(alias="from", description="A date or time. Default: 30 days earlier")
    ] = None,
    end: Annotated[Bound | None, Query(alias="to", description="Not within. Default: tomorrow")] = None,
) -> UsageAnswer:
    """UTC days, also those on which nothing happened; of a day that a bound lies in, all of it."""
    tomorrow = clock().date() + DAY
    if end is not None:
        last = (end + DAY - timedelta.resolution).date()
    else:
        last = tomorrow if start is None else max(tomorrow, start.date() + DAY)
    first = last - timedelta(days=DEFAULT_DAYS) if start is None else start.date()
    if first >= last:
        raise invalid_parameter("from", "must be before to")
    if (last - first).days > MAX_DAYS:
        raise invalid_parameter("from", f"must not be more than {MAX_DAYS} days before to")
    return UsageAnswer.of(first, last, await wallets.list_usage(caller.workspace_id, first, last))


@router.get("/v1/credits/prices", summary="List what is priced", responses=problem_responses(*MEMBER_PROBLEMS))
async def list_current_prices(_caller: Reader, prices: Annotated[PriceList, Depends(_prices)]) -> PricesAnswer:
    """The prices of now. An action that is not among them, or whose price is 0, costs nothing."""
    return PricesAnswer(data=[PriceAnswer.of(price) for price in await prices.list_current()])


@router.get(
    "/v1/credits/settings", summary="Get what is told of low balances", responses=problem_responses(*MEMBER_PROBLEMS)
)
async def get_credit_settings(caller: BillingReader, wallets: Service) -> SettingsAnswer:
    """The thresholds of the workspace."""
    return SettingsAnswer.of((await wallets.get_statement(caller.workspace_id)).wallet)


@router.patch(
    "/v1/credits/settings",
    summary="Set what is told of low balances",
    responses=problem_responses(*MEMBER_PROBLEMS, *BODY_PROBLEMS),
)
async def change_credit_settings(change: SettingsChange, caller: BillingWriter, wallets: Service) -> SettingsAnswer:
    """Falling below a threshold is told once per UTC month, as an event `credits.low_balance`."""
    return SettingsAnswer.of(await wallets.set_thresholds(caller, change.low_balance_thresholds))


@router.post(
    "/v1/credits/reservations",
    summary="Reserve credits",
    status_code=201,
    responses=problem_responses(
        *MEMBER_PROBLEMS,
        *BODY_PROBLEMS,
        ProblemKind.INSUFFICIENT_CREDITS,
        ProblemKind.CREDIT_KEY_REUSED,
        ProblemKind.RESERVATION_CLOSED,
    ),
)
async def reserve_credits(wanted: ReservationWanted, caller: Spender, wallets: Service) -> ReservationAnswer:
    """For work whose price shows afterwards: settle it with what it came to, or release it. The same
    `idempotency_key` answers the same reservation as long as it is open."""
    key = None if wanted.idempotency_key is None else f"client:{wanted.idempotency_key}"
    facts = Facts(caller.actor, wanted.reference, key)
    result = await wallets.reserve(caller, wanted.amount, timedelta(seconds=wanted.hold_s), facts)
    if result.id is None:
        raise RuntimeError("a reservation without an id")
    return ReservationAnswer.of(result.id, result)


@router.post(
    "/v1/credits/reservations/{reservation_id}/settle",
    summary="Settle a reservation",
    responses=problem_responses(
        *MEMBER_PROBLEMS, *BODY_PROBLEMS, ProblemKind.NOT_FOUND, ProblemKind.RESERVATION_CLOSED
    ),
)
async def settle_reservation(
    reservation_id: UUID, settlement: SettlementWanted, caller: Spender, wallets: Service
) -> SettlementAnswer:
    """Beyond what was reserved, or after its time, what is available is taken; the rest is the shortfall."""
    return SettlementAnswer.of(await wallets.settle(caller, reservation_id, settlement.amount))


@router.post(
    "/v1/credits/reservations/{reservation_id}/release",
    summary="Release a reservation",
    responses=problem_responses(*MEMBER_PROBLEMS, ProblemKind.NOT_FOUND, ProblemKind.RESERVATION_CLOSED),
)
async def release_reservation(reservation_id: UUID, caller: Spender, wallets: Service) -> ReservationAnswer:
    """Gives back what it holds."""
    return ReservationAnswer.of(reservation_id, await wallets.release(caller, reservation_id))


_TOKEN_PROBLEMS = problem_responses(
    *MEMBER_PROBLEMS, *BODY_PROBLEMS, ProblemKind.UNKNOWN_MODEL, ProblemKind.NOT_FOUND
)


@router.post("/v1/token_used", summary="Report an AI request", responses=_TOKEN_PROBLEMS)
async def record_token_usage(used: TokensUsed, caller: Reporter, tokens: Tokens, holders: Holders) -> TokensCharged:
    """Deducted once per `request_id`: reported again, it answers what it did the first time."""
    return await _record(used, caller, tokens, holders)


@router.post("/api/v1/token_used", summary="Report an AI request (the same)", responses=_TOKEN_PROBLEMS)
async def record_token_usage_alias(
    used: TokensUsed, caller: Reporter, tokens: Tokens, holders: Holders
) -> TokensCharged:
    """As `/v1/token_used`."""
    return await _record(used, caller, tokens, holders)


@router.post("/v1/token_used/batch", summary="Report AI requests", responses=_TOKEN_PROBLEMS)
async def record_token_usages(
    batch: TokensUsedBatch, caller: Reporter, tokens: Tokens, holders: Holders
) -> BatchAnswer:
    """Each for itself: one that cannot be priced hinders none of the others."""
    return await _record_all(batch, caller, tokens, holders)


@router.post("/api/v1/token_used/batch", summary="Report AI requests (the same)", responses=_TOKEN_PROBLEMS)
async def record_token_usages_alias(
    batch: TokensUsedBatch, caller: Reporter, tokens: Tokens, holders: Holders
) -> BatchAnswer:
    """As `/v1/token_used/batch`."""
    return await _record_all(batch, caller, tokens, holders)


async def _record(used: TokensUsed, caller: Reporter, tokens: TokenUsage, holders: Administration) -> TokensCharged:
    wallet = await _find_wallet(used, caller, holders)
    return TokensCharged.of(await tokens.record(wallet, caller.actor, used.to_model()))


async def _record_all(
    batch: TokensUsedBatch, caller: Reporter, tokens: TokenUsage, holders: Administration
) -> BatchAnswer:
    """Wallet by wallet in one order: of batches that are a transaction each, none waits for one that waits for it."""
    wallets = [await _outcome(_find_wallet(used, caller, holders)) for used in batch.items]
    results: dict[int, TokenCharge | Problem] = {}
    for place in sorted(range(len(wallets)), key=lambda place: str(wallets[place])):
        wallet, used = wallets[place], batch.items[place]
        if isinstance(wallet, Problem):
            results[place] = wallet
        else:
            results[place] = await _outcome(tokens.record(wallet, caller.actor, used.to_model()))
    return BatchAnswer(data=[ItemResult.of(used, results[place]) for place, used in enumerate(batch.items)])


async def _find_wallet(used: TokensUsed, caller: Reporter, holders: Administration) -> WorkspaceId:
    if isinstance(caller, Member):
        if used.workspace_id is not None or used.user_id is not None:
            name = "workspace_id" if used.workspace_id is not None else "user_id"
            raise invalid_parameter(name, "is for the credit service's key; a workspace's key says it already")
        return caller.workspace_id
    if (used.workspace_id is None) == (used.user_id is None):
        raise invalid_parameter("workspace_id", "give it or user_id: whose request was it?")
    return await holders.find_holder(used.workspace_id, used.user_id)


async def _outcome(work: Awaitable[Found]) -> Found | Problem:
    try:
        return await work
    except Problem as problem:
        return problem

"""/v1/admin/credits."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request

from control_api.audit.trail import AuditTrail
from control_api.credits.administration import Administration
from control_api.credits.ledger import LotTerms
from control_api.credits.model import EntryKind, Facts
from control_api.credits.prices import PriceList
from control_api.credits.schemas import (
    ChangeAnswer,
    CreditsAdded,
    CreditsDeducted,
    DefaultsAnswer,
    DefaultsChange,
    PricePage,
    PriceVersion,
    PriceWanted,
    RefundWanted,
    WalletAnswer,
    WalletChange,
)
from control_api.web.authentication import ADMIN_PROBLEMS, PlatformAdmin, requires_admin
from control_api.web.guarded_route import BODY_PROBLEMS, GuardedRoute
from control_api.web.paging import AskedPage, Cursor, page_from
from control_api.web.problem import invalid_parameter, problem_responses
from control_api.web.problem_catalogue import ProblemKind

router = APIRouter(route_class=GuardedRoute, tags=["credits"])
Admin = Annotated[PlatformAdmin, requires_admin()]
_CHANGE_PROBLEMS = (*ADMIN_PROBLEMS, *BODY_PROBLEMS, ProblemKind.NOT_FOUND, ProblemKind.CREDIT_KEY_REUSED)


def _administration(request: Request) -> Administration:
    administration: Administration = request.app.state.credit_administration
    return administration


def _prices(request: Request) -> PriceList:
    prices: PriceList = request.app.state.prices
    return prices


def _audit(request: Request) -> AuditTrail:
    audit: AuditTrail = request.app.state.audit_trail
    return audit


Service = Annotated[Administration, Depends(_administration)]
Prices = Annotated[PriceList, Depends(_prices)]


@router.post("/v1/admin/credits/add", summary="Add credits", responses=problem_responses(*_CHANGE_PROBLEMS))
async def add_credits(wanted: CreditsAdded, admin: Admin, wallets: Service) -> ChangeAnswer:
    """To a workspace, or to the personal one of a user."""
    if wanted.expires_at is not None and wanted.expires_at <= wallets.now():
        raise invalid_parameter("expires_at", "must lie in the future")
    holder = await wallets.find_holder(wanted.workspace_id, wanted.user_id)
    facts = Facts(admin.actor, wanted.reference, _key(wanted.idempotency_key), reason=wanted.reason)
    terms = LotTerms(wanted.priority, wanted.expires_at)
    return ChangeAnswer.of(await wallets.add(holder, EntryKind(wanted.kind), wanted.amount, facts, terms))


@router.post(
    "/v1/admin/credits/deduct",
    summary="Deduct credits",
    responses=problem_responses(*_CHANGE_PROBLEMS, ProblemKind.INSUFFICIENT_CREDITS),
)
async def deduct_credits(wanted: CreditsDeducted, admin: Admin, wallets: Service) -> ChangeAnswer:
    """All of them or, where less is available, none."""
    holder = await wallets.find_holder(wanted.workspace_id, wanted.user_id)
    facts = Facts(admin.actor, wanted.reference, _key(wanted.idempotency_key), reason=wanted.reason)
    return ChangeAnswer.of(await wallets.deduct(holder, wanted.amount, facts))


@router.post(
    "/v1/admin/credits/refund",
    summary="Give back what an entry took",
    responses=problem_responses(*_CHANGE_PROBLEMS, ProblemKind.REFUND_EXCESSIVE),
)
async def refund_credits(wanted: RefundWanted, admin: Admin, wallets: Service) -> ChangeAnswer:
    """Of usage or of a deduction, to where it came from. Credits that have expired since come back for 30 days."""
    holder = await wallets.find_holder(wanted.workspace_id, wanted.user_id)
    facts = Facts(admin.actor, str(wanted.entry_id), _key(wanted.idempotency_key), reason=wanted.reason)
    return ChangeAnswer.of(await wallets.refund(holder, wanted.entry_id, wanted.amount, facts))


@router.get(
    "/v1/admin/credits/prices",
    summary="List prices in all their versions",
    responses=problem_responses(*ADMIN_PROBLEMS, ProblemKind.BAD_CURSOR, ProblemKind.INVALID_PARAMETERS),
)
async def list_price_versions(page: AskedPage, prices: Prices, _admin: Admin) -> PricePage:
    """Newest first."""
    before = None if page.after is None or page.after.id.int >= 1 << 63 else page.after.id.int
    found = await prices.list_versions(before, page.limit + 1)
    listed = page_from(found, page, lambda each: Cursor(each[1], UUID(int=each[0].version)))
    return PricePage(data=[PriceVersion.of(price) for price, _ in listed.items], next_cursor=listed.next_cursor)


@router.post(
    "/v1/admin/credits/prices",
    summary="Set a price",
    status_code=201,
    responses=problem_responses(*ADMIN_PROBLEMS, *BODY_PROBLEMS),
)
async def set_price(
    wanted: PriceWanted, admin: Admin, prices: Prices, audit: Annotated[AuditTrail, Depends(_audit)]
) -> PriceVersion:
    """A new version, from now or a later time on. What was charged keeps the version it was charged by."""
    return PriceVersion.of(await prices.set_price(wanted.to_model(), admin.actor, audit))


@router.get("/v1/admin/credits/settings", summary="Get the defaults", responses=problem_responses(*ADMIN_PROBLEMS))
async def get_credit_defaults(wallets: Service, _admin: Admin) -> DefaultsAnswer:
    """What holds for every wallet that says nothing else."""
    return DefaultsAnswer(monthly_grant=await wallets.get_default_monthly_grant())


@router.patch(
    "/v1/admin/credits/settings",
    summary="Set the defaults",
    responses=problem_responses(*ADMIN_PROBLEMS, *BODY_PROBLEMS),
)
async def change_credit_defaults(change: DefaultsChange, admin: Admin, wallets: Service) -> DefaultsAnswer:
    """`monthly_grant`: what each workspace is given at the start of a month, until its end."""
    return DefaultsAnswer(monthly_grant=await wallets.set_default_monthly_grant(change.monthly_grant, admin.actor))


@router.get(
    "/v1/admin/credits/wallets/{workspace_id}",
    summary="Get a wallet",
    responses=problem_responses(*ADMIN_PROBLEMS, ProblemKind.NOT_FOUND),
)
async def get_wallet(workspace_id: UUID, wallets: Service, _admin: Admin) -> WalletAnswer:
    """Of one workspace."""
    return WalletAnswer.of(await wallets.get_wallet(workspace_id))


@router.patch(
    "/v1/admin/credits/wallets/{workspace_id}",
    summary="Set what a wallet is given",
    responses=problem_responses(*ADMIN_PROBLEMS, *BODY_PROBLEMS, ProblemKind.NOT_FOUND),
)
async def change_wallet(workspace_id: UUID, change: WalletChange, admin: Admin, wallets: Service) -> WalletAnswer:
    """`monthly_grant`: in place of the default; null: the default."""
    return WalletAnswer.of(await wallets.set_monthly_grant(workspace_id, change.monthly_grant, admin.actor))


def _key(sent: str | None) -> str | None:
    return None if sent is None else f"admin:{sent}"

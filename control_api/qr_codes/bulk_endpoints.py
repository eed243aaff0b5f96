"""/v1/qr-codes/bulk: up to a thousand codes in one call, each with its own result."""

from collections.abc import Sequence
from typing import TypeVar

from fastapi import APIRouter

from control_api.credits.charging import Effect, costs
from control_api.qr_codes.bulk_schemas import BulkResult, Outcome, QrCodeChanges, QrCodesWanted
from control_api.qr_codes.endpoints import Changes, Creation, PublicUrl, Writer, author_of
from control_api.web.authentication import MEMBER_PROBLEMS
from control_api.web.guarded_route import BODY_PROBLEMS, GuardedRoute
from control_api.web.problem import Problem, problem_responses
from control_api.web.problem_catalogue import ProblemKind

router = APIRouter(route_class=GuardedRoute, tags=["QR codes"])

Asked = TypeVar("Asked")


@router.post(
    "/v1/qr-codes/bulk",
    summary="Create QR codes in bulk",
    responses=problem_responses(
        *MEMBER_PROBLEMS, *BODY_PROBLEMS, ProblemKind.INSUFFICIENT_CREDITS, ProblemKind.PASSWORDS_BUSY
    ),
)
@costs("qr_code.created", effect=Effect.POSTGRES, units=lambda result: result.succeeded)
async def create_qr_codes(
    wanted: QrCodesWanted, caller: Writer, creation: Creation, public_url: PublicUrl
) -> BulkResult:
    """Each item is created or refused by itself; those that are created redirect as soon as this is answered. Of two
    items that want the same short code the first gets it."""
    parsed = wanted.to_models()
    good = [each for each in parsed if not isinstance(each, Problem)]
    outcomes = await creation.create_many(author_of(caller), good) if good else []
    return BulkResult.of(_in_order(parsed, outcomes), 201, public_url)


@router.patch(
    "/v1/qr-codes/bulk",
    summary="Change QR codes in bulk",
    responses=problem_responses(*MEMBER_PROBLEMS, *BODY_PROBLEMS, ProblemKind.PASSWORDS_BUSY),
)
async def change_qr_codes(
    wanted: QrCodeChanges, caller: Writer, changes: Changes, public_url: PublicUrl
) -> BulkResult:
    """Each item is changed or refused by itself."""
    parsed = wanted.to_models()
    good = [each for each in parsed if not isinstance(each, Problem)]
    outcomes = await changes.change_many(author_of(caller), good) if good else []
    return BulkResult.of(_in_order(parsed, outcomes), 200, public_url)


def _in_order(parsed: Sequence[Asked | Problem], outcomes: Sequence[Outcome]) -> list[Outcome]:
    """What was refused beforehand stays where it was."""
    rest = iter(outcomes)
    return [each if isinstance(each, Problem) else next(rest) for each in parsed]

"""AI requests that programs report: priced by their model, deducted once per request id.

The work is done already, so nothing is refused for lack of credits: what is available is taken, the rest is told as
the shortfall. The first report of a request is the one that counts; whoever reports it again is told what it did.
`cost`, what the provider charged, is kept beside it and decides nothing.
"""

from dataclasses import dataclass
from uuid import UUID

from control_api.credits.ledger import Ledger
from control_api.credits.model import AI_TOKENS, Outcome, TokenReport
from control_api.credits.prices import PriceList, tokens_price
from control_api.web.problem import InvalidParameter, Problem
from control_api.web.problem_catalogue import ProblemKind

MOST_LISTED = 100


@dataclass(frozen=True)
class TokenCharge:
    """`balance`: right after it. `is_duplicate`: the request had been reported before."""

    request_id: str
    charged: int
    shortfall: int
    balance: int
    is_duplicate: bool


class TokenUsage:
    """One round trip per report. Raises Problem, StoreUnavailable."""

    def __init__(self, ledger: Ledger, prices: PriceList) -> None:
        self._ledger = ledger
        self._prices = prices

    async def record(self, workspace_id: UUID, actor: str, report: TokenReport) -> TokenCharge:
        price = await self._prices.find_for_model(report.model)
        if price is None:
            raise await self._unknown_model(report.model)
        result = await self._ledger.use_tokens(
            workspace_id,
            report.request_id,
            report.model,
            report.prompt_tokens,
            report.completion_tokens,
            report.cost,
            report.metadata,
            tokens_price(price, report.prompt_tokens, report.completion_tokens),
            price.version,
            actor,
        )
        is_duplicate = result.outcome is Outcome.REPLAYED
        return TokenCharge(report.request_id, result.charged, result.shortfall, result.balance, is_duplicate)

    async def _unknown_model(self, model: str) -> Problem:
        known = [price.model for price in await self._prices.list_current() if price.action == AI_TOKENS]
        reason = f"has no price; those that have one: {', '.join(known[:MOST_LISTED]) or 'none'}"
        return Problem(
            ProblemKind.UNKNOWN_MODEL,
            f"model: {reason}",
            invalid_parameters=[InvalidParameter(name="model", reason=reason)],
            members={"known_models": known[:MOST_LISTED]},
        )

"""Credits as JSON."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from control_api.credits.administration import Change
from control_api.credits.model import (
    AI_TOKENS,
    DEFAULT_PRIORITY,
    MAX_AMOUNT,
    DayOfUsage,
    Entry,
    Lot,
    NewPrice,
    Price,
    Result,
    Statement,
    TokenReport,
    Wallet,
)
from control_api.credits.token_usage import TokenCharge
from control_api.web.moment import Moment
from control_api.web.paging import Page
from control_api.web.partial import Partial, absent
from control_api.web.problem import Problem
from control_api.web.problem_catalogue import ProblemKind
from control_api.web.text import Line

MAX_TOKENS = 1_000_000_000
MAX_BATCH = 100
MAX_HOLD_S = 86_400
MAX_THRESHOLDS = 10
MAX_METADATA = 50

Amount = Annotated[int, Field(strict=True, ge=1, le=MAX_AMOUNT, examples=[500])]
AmountOrNone = Annotated[int, Field(strict=True, ge=0, le=MAX_AMOUNT)]
Tokens = Annotated[int, Field(strict=True, ge=0, le=MAX_TOKENS, examples=[1200])]
Kind = Literal["grant", "purchase", "usage", "refund", "adjustment", "expiry"]
Action = Literal["qr_code.created", "image.rendered", "api.query", "export.row", "scan.counted", "ai.tokens"]
MetadataName = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=r"^[^\x00]+$")]
MetadataText = Annotated[str, StringConstraints(max_length=1000, pattern=r"^[^\x00]*$")]
Metadata = Annotated[
    dict[MetadataName, MetadataText | bool | Annotated[int, Field(ge=-(1 << 53), le=1 << 53)] | float | None],
    Field(max_length=MAX_METADATA),
]


class LotAnswer(BaseModel):
    """Credits that came in at once, and what is left of them."""

    source: Literal["granted", "purchased"]
    priority: int = Field(description="The lower, the earlier it is used")
    amount: int
    remaining: int
    reserved: int
    expires_at: datetime | None
    created_at: datetime

    @classmethod
    def of(cls, lot: Lot) -> "LotAnswer":
        return cls(
            source="purchased" if lot.source == "purchased" else "granted",
            priority=lot.priority,
            amount=lot.amount,
            remaining=lot.remaining,
            reserved=lot.held,
            expires_at=lot.expires_at,
            created_at=lot.created_at,
        )


class ExpiryAnswer(BaseModel):
    """What goes next, unless it is used before."""

    at: datetime
    amount: int


class CreditsAnswer(BaseModel):
    """What a workspace holds."""

    balance: int = Field(description="The sum of all entries; includes what is reserved")
    reserved: int
    available: int = Field(description="What can be spent: balance - reserved")
    currency: Literal["credits"] = "credits"
    next_expiry: ExpiryAnswer | None
    lots: list[LotAnswer] = Field(description="In the order in which they are used, the first 100")

    @classmethod
    def of(cls, statement: Statement) -> "CreditsAnswer":
        wallet, lots = statement.wallet, statement.lots
        ends = [lot.expires_at for lot in lots if lot.expires_at is not None]
        next_expiry = None
        if ends:
            going = sum(lot.remaining for lot in lots if lot.expires_at == min(ends))
            next_expiry = ExpiryAnswer(at=min(ends), amount=going)
        return cls(
            balance=wallet.balance,
            reserved=wallet.reserved,
            available=wallet.available,
            next_expiry=next_expiry,
            lots=[LotAnswer.of(lot) for lot in lots],
        )


class EntryAnswer(BaseModel):
    """One change of the balance."""

    id: UUID
    seq: int = Field(description="1, 2, 3 ... within the workspace")
    created_at: datetime
    kind: Kind
    amount: int = Field(description="Negative where credits went")
    balance_after: int
    reference: str | None
    action: str | None = Field(description="What was paid for", examples=["qr_code.created"])
    units: int | None
    price_version: int | None
    reason: str | None
    actor: str
    details: dict[str, Any]

    @classmethod
    def of(cls, entry: Entry) -> "EntryAnswer":
        return cls(
            id=entry.id,
            seq=entry.seq,
            created_at=entry.at,
            kind=entry.kind.value,
            amount=entry.amount,
            balance_after=entry.balance_after,
            reference=entry.reference,
            action=entry.action,
            units=entry.units,
            price_version=entry.price_version,
            reason=entry.reason,
            actor=entry.actor,
            details=dict(entry.details),
        )


class EntryPage(BaseModel):
    """Entries, newest first."""

    data: list[EntryAnswer]
    next_cursor: str | None

    @classmethod
    def of(cls, page: Page[Entry]) -> "EntryPage":
        return cls(data=[EntryAnswer.of(entry) for entry in page.items], next_cursor=page.next_cursor)


class DayAnswer(BaseModel):
    """One UTC day."""

    date: date
    used: int = Field(description="Credits that usage took")
    kinds: dict[str, int] = Field(description="Sums of the entries by kind", examples=[{"usage": -12}])
    actions: dict[str, int] = Field(description="What usage took, by action", examples=[{"ai.tokens": 12}])
    scans: int = Field(description="Counted scans; filled by the worker")
    qr_codes_created: int

    @classmethod
    def of(cls, day: DayOfUsage) -> "DayAnswer":
        return cls.model_validate(day, from_attributes=True)


class UsageAnswer(BaseModel):
    """Half-open: `to` is not within."""

    from_: date = Field(alias="from", serialization_alias="from")
    to: date
    used: int
    days: list[DayAnswer]

    @classmethod
    def of(cls, first: date, end: date, days: Sequence[DayOfUsage]) -> "UsageAnswer":
        answers = [DayAnswer.of(day) for day in days]
        return cls.model_validate({"from": first, "to": end, "used": sum(day.used for day in days), "days": answers})


class SettingsAnswer(BaseModel):
    """What a workspace wants to be told."""

    low_balance_thresholds: list[int] = Field(description="Falling below one is told once a month each")

    @classmethod
    def of(cls, wallet: Wallet) -> "SettingsAnswer":
        return cls(low_balance_thresholds=list(wallet.low_balance_thresholds))


class SettingsChange(Partial):
    """What to set."""

    low_balance_thresholds: Annotated[list[Amount], Field(max_length=MAX_THRESHOLDS)] = absent()


class PriceAnswer(BaseModel):
    """One version of a price."""

    version: int
    action: Action
    model: str | None = Field(description="Of `ai.tokens`; `*`: every other model")
    credits: int | None = Field(
        description="For each; of `ai.tokens` for 1,000,000 prompt tokens; null: no longer priced"
    )
    completion_credits: int | None = Field(description="For 1,000,000 completion tokens")
    valid_from: datetime

    @classmethod
    def of(cls, price: Price) -> "PriceAnswer":
        return cls.model_validate(_price_fields(price))


class PriceVersion(PriceAnswer):
    """One version of a price, with who set it."""

    set_by: str
    reason: str | None

    @classmethod
    def of(cls, price: Price) -> "PriceVersion":
        return cls.model_validate(_price_fields(price))


def _price_fields(price: Price) -> Mapping[str, object]:
    return {**vars(price), "model": price.model or None}


class PricesAnswer(BaseModel):
    """What is priced now."""

    data: list[PriceAnswer]


class PricePage(BaseModel):
    """Versions, newest first."""

    data: list[PriceVersion]
    next_cursor: str | None


class PriceWanted(BaseModel):
    """The next version of a price."""

    model_config = ConfigDict(extra="forbid")

    action: Action
    model: Line | None = Field(default=None, description="Needed for `ai.tokens`; `*`: every other model")
    credits: AmountOrNone | None = Field(description="Null: no longer priced")
    completion_credits: AmountOrNone | None = Field(default=None, description="Needed for `ai.tokens`")
    valid_from: Moment | None = Field(default=None, description="Default: from now on")
    reason: Line | None = None

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if (self.action == AI_TOKENS) != (self.model is not None):
            raise ValueError(f"model is needed for {AI_TOKENS}, and for nothing else")
        needs_two = self.action == AI_TOKENS and self.credits is not None
        if needs_two != (self.completion_credits is not None):
            raise ValueError(f"completion_credits is needed for a price of {AI_TOKENS}, and for nothing else")
        return self

    def to_model(self) -> NewPrice:
        return NewPrice(
            self.action, self.model or "", self.credits, self.completion_credits, self.valid_from, self.reason
        )


class Holder(BaseModel):
    """A workspace, or the user whose personal workspace is meant."""

    model_config = ConfigDict(extra="forbid")

    workspace_id: UUID | None = None
    user_id: UUID | None = None

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if (self.workspace_id is None) == (self.user_id is None):
            raise ValueError("give workspace_id or user_id")
        return self


class CreditsAdded(Holder):
    """Credits for a workspace."""

    amount: Amount
    reason: Line
    kind: Literal["grant", "purchase", "adjustment"] = "grant"
    priority: Annotated[int, Field(strict=True, ge=0, le=1000)] = DEFAULT_PRIORITY
    expires_at: Moment | None = None
    reference: Line | None = None
    idempotency_key: Line | None = Field(default=None, description="The same key changes the wallet once, for good")


class CreditsDeducted(Holder):
    """Credits from a workspace."""

    amount: Amount
    reason: Line
    reference: Line | None = None
    idempotency_key: Line | None = Field(default=None, description="The same key changes the wallet once, for good")


class RefundWanted(Holder):
    """An entry to give back."""

    entry_id: UUID
    amount: Amount | None = Field(default=None, description="Default: all that is left to give back")
    reason: Line
    idempotency_key: Line | None = None


class ChangeAnswer(BaseModel):
    """The wallet after the change, and the entry that made it."""

    balance: int
    reserved: int
    available: int
    entry: EntryAnswer

    @classmethod
    def of(cls, change: Change) -> "ChangeAnswer":
        return cls(
            balance=change.balance,
            reserved=change.reserved,
            available=change.balance - change.reserved,
            entry=EntryAnswer.of(change.entry),
        )


class WalletAnswer(BaseModel):
    """A wallet, as the platform admin sees it."""

    workspace_id: UUID
    balance: int
    reserved: int
    monthly_grant: int | None = Field(description="Null: the platform's default")
    low_balance_thresholds: list[int]

    @classmethod
    def of(cls, wallet: Wallet) -> "WalletAnswer":
        return cls.model_validate(wallet, from_attributes=True)


class WalletChange(Partial):
    """What to set."""

    monthly_grant: AmountOrNone | None = absent()


class DefaultsAnswer(BaseModel):
    """What holds for every wallet that says nothing else."""

    monthly_grant: int


class DefaultsChange(Partial):
    """What to set."""

    monthly_grant: AmountOrNone = absent()


class ReservationWanted(BaseModel):
    """Credits to hold for work whose price shows afterwards."""

    model_config = ConfigDict(extra="forbid")

    amount: Amount
    reference: Line | None = None
    hold_s: Annotated[int, Field(strict=True, ge=1, le=MAX_HOLD_S)] = Field(
        default=600, description="Seconds after which it is given back by itself"
    )
    idempotency_key: Line | None = None


class SettlementWanted(BaseModel):
    """What the work came to."""

    model_config = ConfigDict(extra="forbid")

    amount: Annotated[int, Field(strict=True, ge=0, le=MAX_AMOUNT)]


class ReservationAnswer(BaseModel):
    """What is held now."""

    id: UUID
    balance: int
    reserved: int
    available: int

    @classmethod
    def of(cls, reservation_id: UUID, result: Result) -> "ReservationAnswer":
        return cls(id=reservation_id, balance=result.balance, reserved=result.reserved, available=result.available)


class SettlementAnswer(BaseModel):
    """What was taken."""

    charged: int
    shortfall: int
    balance: int

    @classmethod
    def of(cls, result: Result) -> "SettlementAnswer":
        return cls(charged=result.charged, shortfall=result.shortfall, balance=result.balance)


class TokensUsed(BaseModel):
    """One AI request."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())

    request_id: Line
    model: Line = Field(examples=["gpt-4o-mini"])
    prompt_tokens: Tokens
    completion_tokens: Tokens
    cost: Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)] | None = Field(
        default=None, description="What the provider charged; kept, and decides nothing"
    )
    metadata: Metadata = Field(default_factory=dict)
    workspace_id: UUID | None = Field(default=None, description="With SCANHOP_X_API_KEY: whose request it was")
    user_id: UUID | None = Field(default=None, description="With SCANHOP_X_API_KEY: or the user's, in place of it")

    def to_model(self) -> TokenReport:
        cost = None if self.cost is None else repr(self.cost)
        return TokenReport(
            self.request_id, self.model, self.prompt_tokens, self.completion_tokens, cost, self.metadata
        )


class TokensCharged(BaseModel):
    """What the request took. The wallet may hold less than its price."""

    request_id: str
    charged: int
    shortfall: int
    balance: int
    duplicate: bool = Field(description="It was reported before: this is what it did then")

    @classmethod
    def of(cls, charge: TokenCharge) -> "TokensCharged":
        return cls(
            request_id=charge.request_id,
            charged=charge.charged,
            shortfall=charge.shortfall,
            balance=charge.balance,
            duplicate=charge.is_duplicate,
        )


class TokensUsedBatch(BaseModel):
    """Several AI requests."""

    model_config = ConfigDict(extra="forbid")

    items: Annotated[list[TokensUsed], Field(min_length=1, max_length=MAX_BATCH)]


class ItemResult(BaseModel):
    """What became of one item: `result`, or `code` and `detail` of why not."""

    status: Literal[200, 404, 422]
    request_id: str
    result: TokensCharged | None = None
    code: str | None = None
    detail: str | None = None

    @classmethod
    def of(cls, used: TokensUsed, became: TokenCharge | Problem) -> "ItemResult":
        if isinstance(became, TokenCharge):
            return cls(status=200, request_id=used.request_id, result=TokensCharged.of(became))
        status: Literal[404, 422] = 404 if became.kind is ProblemKind.NOT_FOUND else 422
        return cls(status=status, request_id=used.request_id, code=became.kind.code, detail=became.detail)


class BatchAnswer(BaseModel):
    """A result for each item, in their order."""

    data: list[ItemResult]

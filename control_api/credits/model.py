"""What the API knows of credits. A credit is the smallest unit: every amount is a whole number of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from scanhop.wire.ids import WorkspaceId

MAX_AMOUNT = 1_000_000_000_000
DEFAULT_PRIORITY = 100
TOKENS_PER_PRICE = 1_000_000
REFUND_GRACE = timedelta(days=30)

AI_TOKENS = "ai.tokens"
SCAN_COUNTED = "scan.counted"
ANY_MODEL = "*"
ACTIONS = ("qr_code.created", "image.rendered", "api.query", "export.row", SCAN_COUNTED, AI_TOKENS)


class EntryKind(StrEnum):
    """Why the balance changed."""

    GRANT = "grant"
    PURCHASE = "purchase"
    USAGE = "usage"
    REFUND = "refund"
    ADJUSTMENT = "adjustment"
    EXPIRY = "expiry"


class Outcome(StrEnum):
    """What became of a call of the ledger; the functions of the schema answer these words."""

    DONE = "done"
    REPLAYED = "replayed"
    NOTHING = "nothing"
    CONFLICT = "conflict"
    INSUFFICIENT = "insufficient"
    NOT_FOUND = "not_found"
    CLOSED = "closed"
    EXCESSIVE = "excessive"


@dataclass(frozen=True)
class Facts:
    """What an entry says of itself. `idempotency_key`: once per wallet; `reference`: whose it is outside of here."""

    actor: str
    reference: str | None = None
    idempotency_key: str | None = None
    action: str | None = None
    units: int | None = None
    price_version: int | None = None
    reason: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Result:
    """`id`: of the entry, or of the reservation. `charged` is positive whichever way credits went."""

    outcome: Outcome
    id: UUID | None
    charged: int
    shortfall: int
    balance: int
    reserved: int

    @property
    def available(self) -> int:
        return self.balance - self.reserved


@dataclass(frozen=True)
class Lot:
    """What came in at once, and what is left of it. `source` is granted or purchased."""

    seq: int
    source: str
    priority: int
    amount: int
    remaining: int
    held: int
    expires_at: datetime | None
    created_at: datetime


@dataclass(frozen=True)
class Wallet:
    """`monthly_grant` None: the platform's default."""

    workspace_id: WorkspaceId
    balance: int
    reserved: int
    monthly_grant: int | None
    low_balance_thresholds: Sequence[int]

    @property
    def available(self) -> int:
        return self.balance - self.reserved


@dataclass(frozen=True)
class Statement:
    """A wallet with what there is left in it, in burn order; `is_due`: something in it has run out."""

    wallet: Wallet
    lots: Sequence[Lot]
    is_due: bool


@dataclass(frozen=True)
class Entry:
    """One change of a balance; `seq` counts from 1 within the wallet."""

    seq: int
    id: UUID
    at: datetime
    kind: EntryKind
    amount: int
    balance_after: int
    reference: str | None
    action: str | None
    units: int | None
    price_version: int | None
    reason: str | None
    actor: str
    details: Mapping[str, Any]


@dataclass(frozen=True)
class Price:
    """One version of a price, from `valid_from` until the next. `credits` None: no longer priced."""

    version: int
    action: str
    model: str
    credits: int | None
    completion_credits: int | None
    valid_from: datetime
    set_by: str
    reason: str | None


@dataclass(frozen=True)
class NewPrice:
    """`valid_from` None: from now on."""

    action: str
    model: str
    credits: int | None
    completion_credits: int | None
    valid_from: datetime | None
    reason: str | None


@dataclass(frozen=True)
class HistoryFilter:
    """None: whatever it is. `start` is within, `end` is not."""

    kind: EntryKind | None = None
    reference: str | None = None
    start: datetime | None = None
    end: datetime | None = None


@dataclass(frozen=True)
class TokenReport:
    """One AI request; `cost` is what the provider charged, kept as it was said."""

    request_id: str
    model: str
    prompt_tokens: int
    completion_tokens: int
    cost: str | None
    metadata: Mapping[str, Any]


@dataclass(frozen=True)
class DayOfUsage:
    """Sums of a UTC day: of the entries by kind, of the usage by action."""

    date: date
    used: int
    kinds: Mapping[str, int]
    actions: Mapping[str, int]
    scans: int
    qr_codes_created: int

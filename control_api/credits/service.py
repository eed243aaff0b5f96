"""What members see of their workspace's credits, and hold of them."""

from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from uuid import UUID

from control_api.audit.trail import AuditTrail
from control_api.clock import Clock
from control_api.credits.charging import insufficient_credits
from control_api.credits.ledger import Ledger
from control_api.credits.model import (
    DayOfUsage,
    Entry,
    EntryKind,
    Facts,
    HistoryFilter,
    Outcome,
    Result,
    Statement,
    Wallet,
)
from control_api.credits.repository import CreditRepository
from control_api.web.authentication import Member
from control_api.web.paging import Cursor, Page, PageRequest, page_from
from control_api.web.problem import Problem, not_found
from control_api.web.problem_catalogue import ProblemKind
from scanhop.stores.postgres import Postgres
from scanhop.wire.ids import WorkspaceId

LOTS_SHOWN = 100
EXPORT_BATCH = 500
DAY = timedelta(days=1)


class Credits:
    """Raises Problem, StoreUnavailable."""

    def __init__(
        self, postgres: Postgres, repository: CreditRepository, ledger: Ledger, audit: AuditTrail, clock: Clock
    ) -> None:
        self._postgres = postgres
        self._repository = repository
        self._ledger = ledger
        self._audit = audit
        self._clock = clock

    async def get_statement(self, workspace_id: WorkspaceId) -> Statement:
        """As of now: what has run out meanwhile is not in it."""
        found = await self._find_statement(workspace_id)
        if found and found.is_due:
            await self._ledger.tidy(workspace_id)
            found = await self._find_statement(workspace_id)
        return found or Statement(Wallet(workspace_id, 0, 0, None, ()), (), False)

    async def list_history(self, workspace_id: WorkspaceId, asked: HistoryFilter, page: PageRequest) -> Page[Entry]:
        """By number, newest first: the cursor's id holds it."""
        before = page.after.id.int if page.after else None
        if before is not None and before >= 1 << 63:
            before = None
        async with self._postgres.connection() as connection:
            found = await self._repository.list_entries(connection, workspace_id, asked, before, page.limit + 1)
        return page_from(found, page, lambda entry: Cursor(entry.at, UUID(int=entry.seq)))

    async def export_history(self, workspace_id: WorkspaceId, asked: HistoryFilter) -> AsyncIterator[Sequence[Entry]]:
        """All of it, newest first, in batches."""
        before = None
        while True:
            async with self._postgres.connection() as connection:
                found = await self._repository.list_entries(connection, workspace_id, asked, before, EXPORT_BATCH)
            if not found:
                return
            yield found
            before = found[-1].seq

    async def list_usage(self, workspace_id: WorkspaceId, first: date, end: date) -> list[DayOfUsage]:
        """Every UTC day, also those on which nothing happened."""
        start, stop = (datetime.combine(day, time(), UTC) for day in (first, end))
        async with self._postgres.connection() as connection:
            sums = await self._repository.list_sums_by_day(connection, workspace_id, start, stop)
            counted = await self._repository.list_billing_usage(connection, workspace_id, first, end)
        kinds: dict[date, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        actions: dict[date, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        for day, kind, action, amount in sums:
            kinds[day][kind] += amount
            if kind == EntryKind.USAGE:
                actions[day][action or "other"] -= amount
        counts = {day: (scans, created) for day, scans, created in counted}
        days = [first + DAY * number for number in range((end - first).days)]
        return [
            DayOfUsage(
                day,
                -kinds[day].get(EntryKind.USAGE, 0),
                dict(kinds[day]),
                dict(actions[day]),
                *counts.get(day, (0, 0)),
            )
            for day in days
        ]

    async def set_thresholds(self, caller: Member, thresholds: Sequence[int]) -> Wallet:
        now, wanted = self._clock(), sorted(set(thresholds), reverse=True)
        async with self._postgres.transaction() as connection:
            await self._repository.set_thresholds(connection, caller.workspace_id, wanted)
            await self._audit.record(
                connection,
                caller.workspace_id,
                caller.actor,
                "credits.settings_changed",
                caller.workspace_id,
                now,
                changes={"low_balance_thresholds": wanted},
            )
        return (await self.get_statement(caller.workspace_id)).wallet

    async def _find_statement(self, workspace_id: WorkspaceId) -> Statement | None:
        async with self._postgres.connection() as connection:
            return await self._repository.find_statement(connection, workspace_id, LOTS_SHOWN)

    async def reserve(self, caller: Member, amount: int, hold: timedelta, facts: Facts) -> Result:
        result = await self._ledger.reserve(caller.workspace_id, amount, facts, hold)
        if result.outcome is Outcome.INSUFFICIENT:
            raise insufficient_credits("The reservation", amount, result)
        if result.outcome is Outcome.CLOSED:
            raise Problem(ProblemKind.RESERVATION_CLOSED, "The reservation that was made with this key has ended.")
        return require_done(result)

    async def settle(self, caller: Member, reservation_id: UUID, amount: int) -> Result:
        return require_done(await self._ledger.settle(caller.workspace_id, reservation_id, amount))

    async def release(self, caller: Member, reservation_id: UUID) -> Result:
        return require_done(await self._ledger.release(caller.workspace_id, reservation_id))


def require_done(result: Result) -> Result:
    """Raises Problem for what the sender got wrong."""
    match result.outcome:
        case Outcome.CONFLICT:
            detail = "The idempotency key was used in this wallet with another amount, or for something else."
            raise Problem(ProblemKind.CREDIT_KEY_REUSED, detail)
        case Outcome.CLOSED:
            raise Problem(ProblemKind.RESERVATION_CLOSED, "It was released, or settled with another amount.")
        case Outcome.EXCESSIVE:
            detail = f"{result.shortfall} credits of the entry are left to give back."
            raise Problem(ProblemKind.REFUND_EXCESSIVE, detail)
        case Outcome.NOT_FOUND:
            raise not_found("entry or reservation")
    return result

"""What platform admins do to wallets: each change with a reason, and with an audit row in its own transaction."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from control_api.audit.trail import AuditTrail
from control_api.clock import Clock
from control_api.credits.charging import insufficient_credits
from control_api.credits.ledger import Ledger, LotTerms
from control_api.credits.model import Entry, EntryKind, Facts, Outcome, Result, Wallet
from control_api.credits.platform_repository import PlatformRepository
from control_api.credits.repository import CreditRepository
from control_api.credits.service import Credits, require_done
from control_api.web.problem import not_found
from scanhop.stores.postgres import Connection, Postgres
from scanhop.wire.ids import UserId, WorkspaceId


@dataclass(frozen=True)
class Change:
    """What came of it. `balance` and `reserved`: right after it, also when the same key comes again."""

    balance: int
    reserved: int
    entry: Entry


class Administration:
    """One transaction per call. Raises Problem, StoreUnavailable."""

    def __init__(  # noqa: PLR0913 - its collaborators
        self,
        postgres: Postgres,
        repository: CreditRepository,
        platform: PlatformRepository,
        ledger: Ledger,
        members_view: Credits,
        audit: AuditTrail,
        clock: Clock,
    ) -> None:
        self._postgres = postgres
        self._repository = repository
        self._platform = platform
        self._ledger = ledger
        self._members_view = members_view
        self._audit = audit
        self._clock = clock

    def now(self) -> datetime:
        return self._clock()

    async def find_holder(self, workspace_id: UUID | None, user_id: UUID | None) -> WorkspaceId:
        """The workspace, or the personal one of the user. Raises Problem."""
        async with self._postgres.connection() as connection:
            if workspace_id is not None:
                found = WorkspaceId(workspace_id)
                if await self._platform.is_workspace(connection, found):
                    return found
                raise not_found("workspace")
            if user_id is not None:
                personal = await self._platform.find_personal_workspace(connection, UserId(user_id))
                if personal is not None:
                    return personal
        raise not_found("user")

    async def add(
        self, workspace_id: WorkspaceId, kind: EntryKind, amount: int, facts: Facts, terms: LotTerms
    ) -> Change:
        return await self._change(
            workspace_id,
            "credits.added",
            facts,
            lambda: self._ledger.credit(workspace_id, kind, amount, facts, terms),
        )

    async def deduct(self, workspace_id: WorkspaceId, amount: int, facts: Facts) -> Change:
        async def deduct() -> Result:
            result = await self._ledger.debit(workspace_id, EntryKind.ADJUSTMENT, amount, facts)
            if result.outcome is Outcome.INSUFFICIENT:
                raise insufficient_credits("The deduction", amount, result)
            return result

        return await self._change(workspace_id, "credits.deducted", facts, deduct)

    async def refund(self, workspace_id: WorkspaceId, entry_id: UUID, amount: int | None, facts: Facts) -> Change:
        return await self._change(
            workspace_id,
            "credits.refunded",
            facts,
            lambda: self._ledger.refund(workspace_id, entry_id, amount, facts),
        )

    async def get_wallet(self, workspace_id: UUID) -> Wallet:
        holder = await self.find_holder(workspace_id, None)
        return (await self._members_view.get_statement(holder)).wallet

    async def set_monthly_grant(self, workspace_id: UUID, amount: int | None, actor: str) -> Wallet:
        holder, now = await self.find_holder(workspace_id, None), self._clock()
        async with self._postgres.transaction() as connection:
            await self._repository.set_monthly_grant(connection, holder, amount)
            await self._audit.record(
                connection,
                holder,
                actor,
                "credits.monthly_grant_set",
                holder,
                now,
                changes={"monthly_grant": amount},
            )
        return await self.get_wallet(holder)

    async def get_default_monthly_grant(self) -> int:
        async with self._postgres.connection() as connection:
            return await self._platform.get_default_monthly_grant(connection)

    async def set_default_monthly_grant(self, amount: int, actor: str) -> int:
        now = self._clock()
        async with self._postgres.transaction() as connection:
            await self._platform.set_default_monthly_grant(connection, amount)
            changes = {"monthly_grant": amount}
            await self._audit.record(
                connection, None, actor, "credits.defaults_changed", "credits", now, changes=changes
            )
        return amount

    async def _change(
        self, workspace_id: WorkspaceId, action: str, facts: Facts, make: Callable[[], Awaitable[Result]]
    ) -> Change:
        async with (
            self._ledger.crowd_kept_off(workspace_id),
            self._postgres.joined_transaction(),
            self._postgres.connection() as connection,
        ):
            result = require_done(await make())
            entry = await self._get_entry(connection, workspace_id, result)
            if result.outcome is Outcome.DONE:
                await self._audit.record(
                    connection,
                    workspace_id,
                    facts.actor,
                    action,
                    workspace_id,
                    entry.at,
                    changes={"entry_id": str(entry.id), "amount": entry.amount, "balance": entry.balance_after},
                    reason=facts.reason,
                )
        return Change(result.balance, result.reserved, entry)

    async def _get_entry(self, connection: Connection, workspace_id: UUID, result: Result) -> Entry:
        entry = result.id and await self._repository.find_entry(connection, workspace_id, result.id)
        if not entry:
            raise RuntimeError(f"{result.outcome} without an entry")
        return entry

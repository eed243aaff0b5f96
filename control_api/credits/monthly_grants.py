"""Once a month each workspace is given its credits: for that month, gone at its end, used before others of their
priority that last longer. A workspace that is made meanwhile, and a month whose start was missed, get theirs at
the next run; a month that is over is not made up for, its credits would be gone already. The key `monthly:YYYY-MM`
gives them once.
"""

from datetime import UTC, datetime
from uuid import UUID

from control_api.clock import Clock
from control_api.credits.ledger import Ledger, LotTerms
from control_api.credits.model import EntryKind, Facts, Outcome
from control_api.credits.platform_repository import PlatformRepository
from scanhop.stores.postgres import Postgres
from scanhop.wire.ids import ZERO_UUID

BATCH = 500


class MonthlyGrants:
    """Raises StoreUnavailable; what was not given is so the next time."""

    def __init__(self, postgres: Postgres, platform: PlatformRepository, ledger: Ledger, clock: Clock) -> None:
        self._postgres = postgres
        self._platform = platform
        self._ledger = ledger
        self._clock = clock

    async def run(self) -> dict[str, int]:
        """How many were given, and how much."""
        now = self._clock().astimezone(UTC)
        month = f"{now:%Y-%m}"
        facts = Facts("system", month, f"monthly:{month}", reason="monthly grant")
        terms = LotTerms(expires_at=_next_month(now))
        given = {"workspaces": 0, "credits": 0}
        after = ZERO_UUID
        while due := await self._list_due(after, facts.idempotency_key or ""):
            for workspace_id, amount in due:
                result = await self._ledger.credit(workspace_id, EntryKind.GRANT, amount, facts, terms)
                if result.outcome is Outcome.DONE:
                    given["workspaces"] += 1
                    given["credits"] += amount
            after = due[-1][0]
        return given

    async def _list_due(self, after: UUID, key: str) -> list[tuple[UUID, int]]:
        async with self._postgres.connection() as connection:
            return await self._platform.list_grants_due(connection, after, key, BATCH)


def _next_month(now: datetime) -> datetime:
    return datetime(now.year + now.month // 12, now.month % 12 + 1, 1, tzinfo=UTC)

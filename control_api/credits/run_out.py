"""Takes away what has run out: lots that expired, reservations whose time is over.

Every operation on a wallet does so itself beforehand; this is for those that nothing happens to, so that history,
proof and thresholds do not wait for the next use.
"""

from uuid import UUID

from control_api.clock import Clock
from control_api.credits.ledger import Ledger
from control_api.credits.platform_repository import PlatformRepository
from scanhop.stores.postgres import Postgres

BATCH = 500


class RunOut:
    """By the ledger's clock. Raises StoreUnavailable; what was not done is done the next time."""

    def __init__(self, postgres: Postgres, platform: PlatformRepository, ledger: Ledger, clock: Clock | None) -> None:
        self._postgres = postgres
        self._platform = platform
        self._ledger = ledger
        self._clock = clock

    async def run(self) -> dict[str, int]:
        """How many wallets there were to see to."""
        wallets = 0
        while due := await self._list_due():
            for workspace_id in due:
                await self._ledger.tidy(workspace_id)
            wallets += len(due)
        return {"wallets": wallets}

    async def _list_due(self) -> list[UUID]:
        async with self._postgres.connection() as connection:
            return await self._platform.list_due_wallets(connection, self._clock and self._clock(), BATCH)

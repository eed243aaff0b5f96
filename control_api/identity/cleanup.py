"""What has ended goes, with all that it says of anybody: sessions and their tokens, password resets, invitations.

What was revoked, used or accepted goes when it would have expired.
"""

from collections.abc import Mapping
from datetime import datetime

from control_api.clock import Clock
from scanhop.stores.postgres import Postgres
from scanhop.stores.sql import load_queries

KINDS = ("sessions", "password_resets", "invitations")
AT_ONCE = 5_000


class Cleanup:
    """Raises StoreError."""

    def __init__(self, postgres: Postgres, clock: Clock) -> None:
        self._postgres = postgres
        self._clock = clock
        self._sql = load_queries("control_api.identity")

    async def run(self) -> Mapping[str, int]:
        """How many of each went."""
        now = self._clock()
        return {kind: await self._delete_ended(self._sql[f"delete_ended_{kind}"], now) for kind in KINDS}

    async def _delete_ended(self, statement: str, now: datetime) -> int:
        """AT_ONCE at a time."""
        deleted, is_more = 0, True
        while is_more:
            async with self._postgres.checked_connection() as connection:
                rows = await connection.fetch(statement, now, AT_ONCE)
            deleted, is_more = deleted + len(rows), len(rows) == AT_ONCE
        return deleted

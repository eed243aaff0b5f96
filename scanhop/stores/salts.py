"""The daily salts of visitor keys, in Postgres.

A salt is 32 random bytes for one UTC day. Tomorrow's is made a day ahead, so that ingest outlives a Postgres that is
away over midnight; one older than RETENTION is deleted, and with it the chance to say who a visitor was.
"""

import secrets
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta

from scanhop.stores.postgres import Postgres
from scanhop.stores.sql import load_queries

RETENTION = timedelta(days=2)


class SaltTable:
    """Every method raises StoreError."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres
        self._queries = load_queries("scanhop.stores")

    async def ensure_salts(self, now: datetime) -> Mapping[date, bytes]:
        """Make today's and tomorrow's where they are missing; the salts that are there, by UTC day."""
        today = now.astimezone(UTC).date()
        async with self._postgres.checked_connection() as connection:
            for day in (today, today + timedelta(days=1)):
                await connection.execute(self._queries["create_salt"], day, secrets.token_bytes(32))
            rows = await connection.fetch(self._queries["list_salts"])
        return {row["day"]: row["salt"] for row in rows}

    async def delete_old_salts(self, now: datetime) -> None:
        today = now.astimezone(UTC).date()
        async with self._postgres.checked_connection() as connection:
            await connection.execute(self._queries["delete_salts_before"], today - RETENTION)

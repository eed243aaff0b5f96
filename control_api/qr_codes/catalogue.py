"""What other domains may know of a workspace's codes: their names, their tags, when they were made."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from scanhop.stores.postgres import Postgres
from scanhop.stores.sql import load_queries
from scanhop.wire.ids import WorkspaceId

MAX_TAGGED = 10_000


@dataclass(frozen=True)
class CodeName:
    """`status` may be deleted."""

    name: str
    short_code: str
    status: str


class CodeCatalogue:
    """Raises StoreUnavailable."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres
        self._sql = load_queries("control_api.qr_codes", "catalogue.sql")

    async def describe(self, workspace_id: WorkspaceId, ids: Sequence[UUID]) -> Mapping[UUID, CodeName]:
        async with self._postgres.connection() as connection:
            rows = await connection.fetch(self._sql["describe_codes"], workspace_id, list(ids))
        return {row["id"]: CodeName(row["name"], row["short_code"], row["status"]) for row in rows}

    async def list_ids_with_tag(self, workspace_id: WorkspaceId, tag: str) -> Sequence[UUID]:
        """At most MAX_TAGGED."""
        async with self._postgres.connection() as connection:
            rows = await connection.fetch(self._sql["list_ids_with_tag"], workspace_id, tag, MAX_TAGGED)
        return [row["id"] for row in rows]

    async def count_created(
        self, workspace_id: WorkspaceId, start: datetime, end: datetime, timezone: str
    ) -> Mapping[date, int]:
        """By day of the zone; days without any are left out."""
        async with self._postgres.connection() as connection:
            rows = await connection.fetch(self._sql["count_created_by_day"], workspace_id, start, end, timezone)
        return {row["day"]: row["created"] for row in rows}

"""Every change of codes, of one or of a thousand, is written here: new versions, all that must stand beside them, and
their way to Redis.

Within the caller's transaction: the rows, their history, an audit row each and the job that publishes them, in as
many statements for many as for one. After the commit the routes go to Redis, ROUTES_AT_ONCE in a round trip; should
that fail, the change stands and the job is what publishes it.
"""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from control_api.audit.trail import AuditedChange, AuditTrail
from control_api.qr_codes.model import Author, QrCode
from control_api.qr_codes.publication import enqueue_publications
from control_api.qr_codes.repository import QrCodeRepository
from scanhop.stores.errors import StoreError
from scanhop.stores.postgres import Connection, Postgres
from scanhop.stores.routes import RouteCache, compile_rows
from scanhop.telemetry.logs import get_logger
from scanhop.wire.route import Route

PUBLISH_TIMEOUT_S = 1.0
ROUTES_AT_ONCE = 1000  # some 3 ms, for which Redis answers nobody else
_ROW = (
    *(
        "id",
        "status",
        "ban_reason",
        "ban_note",
        "project_id",
        "name",
        "target_url",
        "fallback_url",
    ),
    *(
        "redirect_status",
        "forward_query",
        "rules",
        "starts_at",
        "expires_at",
        "max_scans",
        "tags",
        "design",
        "type_data",
    ),
)


@dataclass(frozen=True)
class Draft:
    """The next version of a code. `changes`: what is new, for the audit trail."""

    wanted: QrCode
    changes: Mapping[str, Any]
    reason: str | None = None
    sets_password: bool = False
    password_hash: str | None = field(default=None, repr=False)

    def to_row(self) -> dict[str, Any]:
        row = {name: getattr(self.wanted, name) for name in _ROW}
        return row | {"sets_password": self.sets_password, "password_hash": self.password_hash}


class VersionWriter:
    """Each method but `publish` runs in the transaction of its connection; what it returns is for `publish`."""

    def __init__(
        self, postgres: Postgres, repository: QrCodeRepository, cache: RouteCache, audit: AuditTrail
    ) -> None:
        self._postgres = postgres
        self._repository = repository
        self._cache = cache
        self._audit = audit

    async def write(
        self, connection: Connection, author: Author, drafts: Sequence[Draft], now: datetime, action: str
    ) -> tuple[dict[UUID, QrCode], list[Route]]:
        """The codes as they are then, by id. Lock them first; each once."""
        if not drafts:
            return {}, []
        rows = [draft.to_row() for draft in drafts]
        codes = await self._repository.update(connection, author.workspace_id, rows, now)
        entries = [AuditedChange(draft.wanted.id, draft.changes, draft.reason) for draft in drafts]
        return codes, await self.record(connection, author, entries, now, action)

    async def record(
        self, connection: Connection, author: Author, entries: Sequence[AuditedChange], now: datetime, action: str
    ) -> list[Route]:
        """History, audit and job of versions that are written: `entries` name the codes."""
        reasons = {UUID(str(entry.object_id)): entry.reason for entry in entries}
        rows = await self._repository.record_versions(connection, author, reasons, now)
        await self._audit.record_many(connection, author.workspace_id, author.actor, action, entries, now)
        await enqueue_publications(connection, list(reasons))
        compiled = compile_rows(rows)
        for each in compiled.unreadable:
            get_logger().error("unreadable_route", code=each.code, reason=each.reason)
        return compiled.routes

    async def publish(self, routes: Collection[Route]) -> None:
        """Once all that was done so far is committed."""
        if routes:
            await self._postgres.after_commit(lambda: self._publish_now(list(routes)))

    async def _publish_now(self, routes: Sequence[Route]) -> None:
        try:
            async with asyncio.timeout(PUBLISH_TIMEOUT_S):
                for at in range(0, len(routes), ROUTES_AT_ONCE):
                    await self._cache.put_many_if_newer(routes[at : at + ROUTES_AT_ONCE])
        except (StoreError, TimeoutError) as error:
            get_logger().warning("publication_left_to_the_job", codes=len(routes), error=str(error))

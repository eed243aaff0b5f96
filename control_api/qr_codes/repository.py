"""QR codes, their history and their scheduled changes in Postgres.

Each method runs in the transaction of the connection it is given.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from control_api.qr_codes.model import Author, QrCode, ScheduledChange, Search, Version
from control_api.web.paging import PageRequest, SortedPageRequest
from scanhop.stores.postgres import Connection, fetch_planned
from scanhop.stores.sql import load_queries
from scanhop.wire.ids import DEFAULT_DOMAIN_ID, WorkspaceId

SORT_KEYS = {"created_at": ("created_at", "timestamptz"), "updated_at": ("updated_at", "timestamptz")}
SORT_KEYS["name"] = ("lower(name)", "text")
_FIRST_CURSOR_PARAMETER = 14

JsonObject = dict[str, Any]


class QrCodeRepository:
    """Reads its statements once. All name the workspace but those that say so."""

    def __init__(self) -> None:
        raw = load_queries("control_api.qr_codes")
        self._sql = {name: text.replace("{columns}", raw["columns"]) for name, text in raw.items()}
        self._list_sql = {
            (sort, descending, goes_on): _list_statement(self._sql["list_qr_codes"], sort, descending, goes_on)
            for sort in SORT_KEYS
            for descending in (False, True)
            for goes_on in (False, True)
        }

    async def create(
        self, connection: Connection, author: Author, rows: Sequence[JsonObject], now: datetime
    ) -> list[QrCode]:
        """Those whose short codes were free; `rows` by the names of the columns."""
        created = await connection.fetch(
            self._sql["create_qr_codes"], author.workspace_id, author.user_id, now, _plain(rows)
        )
        return [QrCode(**row) for row in created]

    async def update(
        self, connection: Connection, workspace_id: WorkspaceId, rows: Sequence[JsonObject], now: datetime
    ) -> dict[UUID, QrCode]:
        """The next version of each, by id. Lock the codes first."""
        updated = await connection.fetch(self._sql["update_qr_codes"], workspace_id, now, _plain(rows))
        return {row["id"]: QrCode(**row) for row in updated}

    async def record_versions(
        self,
        connection: Connection,
        author: Author,
        reasons: Mapping[UUID, str | None],
        now: datetime,
    ) -> list[Mapping[str, Any]]:
        """Rows of the view `edge_routes_v1`."""
        ids = list(reasons)
        rows = await connection.fetch(
            self._sql["record_versions"], author.workspace_id, ids, now, author.actor, list(reasons.values())
        )
        return [dict(row) for row in rows]

    async def search(
        self, connection: Connection, workspace_id: WorkspaceId, search: Search, page: SortedPageRequest
    ) -> list[tuple[QrCode, datetime | str]]:
        """One more than the page holds, where there are more; each with what it is sorted by."""
        domain_id = await self._find_domain(connection, workspace_id, search.domain)
        if domain_id is None and search.domain is not None:
            return []
        after = () if page.after is None else (page.after.key, page.after.id)
        statement = self._list_sql[page.sort, page.is_descending, page.after is not None]
        values = (workspace_id, *_search_values(search, domain_id), page.limit + 1, *after)
        rows = await fetch_planned(connection, statement, *values)
        return [_with_key(dict(row)) for row in rows]

    async def _find_domain(self, connection: Connection, workspace_id: WorkspaceId, host: str | None) -> UUID | None:
        """By its host; "" is the default domain."""
        if not host:
            return None if host is None else DEFAULT_DOMAIN_ID
        found: UUID | None = await connection.fetchval(self._sql["find_domain"], workspace_id, host)
        return found

    async def search_all(  # noqa: PLR0913 - the filters
        self,
        connection: Connection,
        page: PageRequest,
        *,
        workspace_id: UUID | None,
        status: str | None,
        short_code: str | None,
        target: str | None,
    ) -> list[QrCode]:
        """Of every workspace; one more than the page holds, where there are more."""
        after = page.after.id if page.after else None
        pattern = None if target is None else like_pattern(target)
        filters = (workspace_id, status, short_code, pattern)
        rows = await fetch_planned(connection, self._sql["list_all_qr_codes"], *filters, after, page.limit + 1)
        return [QrCode(**row) for row in rows]

    async def find_workspace_of(self, connection: Connection, qr_id: UUID) -> WorkspaceId | None:
        """Whatever the workspace."""
        found: WorkspaceId | None = await connection.fetchval(self._sql["find_workspace_of"], qr_id)
        return found

    async def list_tags(
        self, connection: Connection, workspace_id: WorkspaceId, after: str | None, limit: int
    ) -> list[tuple[str, int]]:
        rows = await connection.fetch(self._sql["list_tags"], workspace_id, after, limit)
        return [(row["tag"], row["codes"]) for row in rows]

    async def find(self, connection: Connection, workspace_id: WorkspaceId, qr_id: UUID) -> QrCode | None:
        row = await connection.fetchrow(self._sql["find_qr_code"], workspace_id, qr_id)
        return None if row is None else QrCode(**row)

    async def exists(self, connection: Connection, workspace_id: WorkspaceId, qr_id: UUID) -> bool:
        """Deleted or not."""
        exists: bool = await connection.fetchval(self._sql["has_qr_code"], workspace_id, qr_id)
        return exists

    async def lock(
        self, connection: Connection, workspace_id: WorkspaceId, ids: Sequence[UUID]
    ) -> dict[UUID, QrCode]:
        """Those that there are, deleted ones too, by id."""
        rows = await connection.fetch(self._sql["lock_qr_codes"], workspace_id, list(ids))
        return {row["id"]: QrCode(**row) for row in rows}

    async def hold_projects(
        self, connection: Connection, workspace_id: WorkspaceId, ids: Iterable[UUID | None]
    ) -> frozenset[UUID]:
        """Those that there are. Before any code is locked."""
        asked_for = sorted({each for each in ids if each is not None})
        if not asked_for:
            return frozenset()
        rows = await connection.fetch(self._sql["hold_projects"], workspace_id, asked_for)
        return frozenset(row["id"] for row in rows)

    async def lock_of_project(
        self, connection: Connection, workspace_id: WorkspaceId, project_id: UUID, limit: int
    ) -> list[tuple[UUID, str]]:
        """Some codes with their states, deleted ones too; they keep them until the transaction ends."""
        rows = await connection.fetch(self._sql["lock_of_project"], workspace_id, project_id, limit)
        return [(row["id"], row["status"]) for row in rows]

    async def list_short_hosts(self, connection: Connection, hosts: Collection[str]) -> frozenset[str]:
        """Those of them that are verified custom domains, of whatever workspace."""
        if not hosts:
            return frozenset()
        rows = await connection.fetch(self._sql["list_short_hosts"], list(hosts))
        return frozenset(row["host"] for row in rows)

    async def find_status_before(self, connection: Connection, code: QrCode, passing: Sequence[str]) -> str | None:
        """The last status that is none of `passing`."""
        statement = self._sql["find_status_before"]
        found: str | None = await connection.fetchval(statement, code.workspace_id, code.id, list(passing))
        return found

    async def find_status_before_ban(self, connection: Connection, code: QrCode) -> str | None:
        """The last status that was under no ban."""
        statement = self._sql["find_status_before_ban"]
        found: str | None = await connection.fetchval(statement, code.workspace_id, code.id)
        return found

    async def list_versions(
        self, connection: Connection, workspace_id: WorkspaceId, qr_id: UUID, before: object, limit: int
    ) -> list[Version]:
        rows = await connection.fetch(self._sql["list_versions"], workspace_id, qr_id, before, limit)
        return [Version(**row) for row in rows]

    async def find_snapshot(
        self, connection: Connection, workspace_id: WorkspaceId, qr_id: UUID, version: int
    ) -> JsonObject | None:
        found: JsonObject | None = await connection.fetchval(self._sql["find_snapshot"], workspace_id, qr_id, version)
        return found

    async def create_scheduled_change(
        self, connection: Connection, new: ScheduledChange, at_most: int
    ) -> ScheduledChange | None:
        """None when so many are pending already."""
        row = await connection.fetchrow(
            self._sql["create_scheduled_change"],
            new.workspace_id,
            new.id,
            new.qr_id,
            new.at,
            new.change,
            new.password_hash,
            new.reason,
            new.user_id,
            new.created_by,
            new.created_at,
            at_most,
        )
        return _scheduled(row)

    async def list_scheduled_changes(
        self, connection: Connection, workspace_id: WorkspaceId, qr_id: UUID, page: PageRequest
    ) -> list[ScheduledChange]:
        after = (page.after.created_at, page.after.id) if page.after else (None, None)
        rows = await connection.fetch(
            self._sql["list_scheduled_changes"], workspace_id, qr_id, *after, page.limit + 1
        )
        return [ScheduledChange(**row) for row in rows]

    async def lock_scheduled_change(
        self, connection: Connection, workspace_id: WorkspaceId, qr_id: UUID, change_id: UUID
    ) -> ScheduledChange | None:
        return _scheduled(
            await connection.fetchrow(self._sql["lock_scheduled_change"], workspace_id, qr_id, change_id)
        )

    async def claim_scheduled_change(self, connection: Connection, now: datetime) -> ScheduledChange | None:
        """Whatever the workspace."""
        return _scheduled(await connection.fetchrow(self._sql["claim_scheduled_change"], now))

    async def settle_scheduled_change(  # noqa: PLR0913 - the columns
        self,
        connection: Connection,
        change: ScheduledChange,
        status: str,
        now: datetime,
        *,
        failure: str | None = None,
        version: int | None = None,
    ) -> ScheduledChange:
        [row] = await connection.fetch(
            self._sql["settle_scheduled_change"], change.workspace_id, change.id, status, now, failure, version
        )
        return ScheduledChange(**row)


def like_pattern(text: str) -> str:
    """For (I)LIKE: whatever holds the text as it is."""
    escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"


def _list_statement(template: str, sort: str, descending: bool, goes_on: bool) -> str:
    """One of a dozen: what is put in comes from the table above, never from a request."""
    key, key_type = SORT_KEYS[sort]
    sign, direction = ("<", "DESC") if descending else (">", "ASC")
    at, then = _FIRST_CURSOR_PARAMETER, _FIRST_CURSOR_PARAMETER + 1
    after = f"({key}, id) {sign} (${at}::{key_type}, ${then}::uuid)" if goes_on else "true"
    return template.replace("{key}", key).replace("{direction}", direction).replace("{after}", after)


def _plain(rows: Sequence[JsonObject]) -> list[JsonObject]:
    """Ids as they come from the driver are of a type that no encoder of JSON knows."""
    return [{name: str(each) if isinstance(each, UUID) else each for name, each in row.items()} for row in rows]


def _search_values(search: Search, domain_id: UUID | None) -> tuple[Any, ...]:
    """From $2 on."""
    return (
        search.status,
        None if search.text is None else like_pattern(search.text),
        list(search.tags) or None,
        search.project_id,
        search.in_no_project,
        search.type,
        domain_id,
        search.created_from,
        search.created_to,
        search.updated_from,
        search.updated_to,
    )


def _with_key(row: JsonObject) -> tuple[QrCode, datetime | str]:
    key: datetime | str = row.pop("sort_key")
    return QrCode(**row), key


def _scheduled(row: asyncpg.Record | None) -> ScheduledChange | None:
    return None if row is None else ScheduledChange(**row)

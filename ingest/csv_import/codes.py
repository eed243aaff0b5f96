"""The codes that rows name, looked up in Postgres, many at once. CACHED of the last ones are remembered.

A code that does not exist, or not in the workspace asked for, is none: its rows are rejected. Deleted codes are
codes. Postgres away: StoreUnavailable.
"""

from collections.abc import Iterable, Mapping
from uuid import UUID

import asyncpg
import msgspec

from ingest.csv_import.failure import ImportRefused
from scanhop.stores.postgres import Connection, Postgres
from scanhop.stores.sql import load_queries
from scanhop.wire.ids import DEFAULT_DOMAIN_ID, ZERO_UUID
from scanhop.wire.short_codes import find_code, find_exact_code

CACHED = 50_000

Name = str | UUID
"""A short code or an id."""


class Code(msgspec.Struct, frozen=True, gc=False):
    """Raw bytes, as rows have them; zero where there is none."""

    qr_id: bytes
    workspace_id: bytes
    user_id: bytes
    project_id: bytes
    domain_id: bytes
    short_code: str


class Codes:
    """`renamed`: short codes of the file to ours."""

    def __init__(self, postgres: Postgres, workspace_id: UUID | None, renamed: Mapping[str, str]) -> None:
        self._postgres = postgres
        self._workspace_id = workspace_id
        self._renamed = renamed
        self._sql = load_queries("ingest.csv_import")
        self._domain_id: UUID = DEFAULT_DOMAIN_ID
        self._spell = find_code
        self._known: dict[Name, Code | None] = {}

    async def choose_domain(self, host: str) -> None:
        """Whose codes are meant, instead of the default domain's. Raises ImportRefused."""
        async with self._postgres.connection() as connection:
            row = await connection.fetchrow(self._sql["find_domain"], host.lower())
        if row is None:
            raise ImportRefused(f"there is no verified domain {host}")
        self._domain_id = row["id"]
        self._spell = find_exact_code if row["code_case"] == "exact" else find_code

    def name_of(self, short_code: str, qr_id: UUID | None) -> Name | None:
        """What to look up; an id goes before a short code. None: no code can look like that."""
        return qr_id or self._spell(self._renamed.get(short_code, short_code))

    async def resolve(self, names: Iterable[Name]) -> Mapping[Name, Code | None]:
        """All of them; None for one that is no code."""
        wanted = set(names)
        missing = wanted - self._known.keys()
        if missing:
            if len(self._known) > CACHED:
                self._known.clear()
                missing = wanted
            self._known |= dict.fromkeys(missing)
            async with self._postgres.connection() as connection:
                await self._look_up(connection, missing)
        return self._known

    async def _look_up(self, connection: Connection, names: set[Name]) -> None:
        short = [name for name in names if isinstance(name, str)]
        ids = [name for name in names if isinstance(name, UUID)]
        if short:
            rows = await connection.fetch(
                self._sql["list_codes_by_short_code"], self._domain_id, short, self._workspace_id
            )
            self._known |= {row["short_code"]: _code(row) for row in rows}
        if ids:
            rows = await connection.fetch(self._sql["list_codes_by_id"], ids, self._workspace_id)
            self._known |= {UUID(bytes=row["id"].bytes): _code(row) for row in rows}


def _code(row: asyncpg.Record) -> Code:
    ids = [(row[name] or ZERO_UUID).bytes for name in ("id", "workspace_id", "user_id", "project_id", "domain_id")]
    return Code(ids[0], ids[1], ids[2], ids[3], ids[4], row["short_code"])

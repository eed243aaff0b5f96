"""Migrated Postgres databases for tests. To make one costs a fifth of a second, to empty one a twentieth of that.

Invariants: a database that is taken has the template's schema, rows and sequences, and nobody is connected to it. One
whose schema a test has changed is dropped.
"""

import io
from collections.abc import Awaitable, Callable
from typing import TypeVar
from uuid import uuid4

import asyncpg

from tests.databases import run_on_postgres, run_postgres, with_path

# Changes with every change of the schema. Not with VACUUM and ANALYZE, which write in place.
_SCHEMA = """
    SELECT array_agg((row, changed)) FROM (
        SELECT count(*) AS row, max(xmin::text::bigint) AS changed FROM pg_class
        UNION ALL SELECT count(*), max(xmin::text::bigint) FROM pg_attribute
        UNION ALL SELECT count(*), max(xmin::text::bigint) FROM pg_attrdef
        UNION ALL SELECT count(*), max(xmin::text::bigint) FROM pg_constraint
        UNION ALL SELECT count(*), max(xmin::text::bigint) FROM pg_index
        UNION ALL SELECT count(*), max(xmin::text::bigint) FROM pg_namespace
        UNION ALL SELECT count(*), max(xmin::text::bigint) FROM pg_proc
        UNION ALL SELECT count(*), max(xmin::text::bigint) FROM pg_trigger
        UNION ALL SELECT count(*), max(xmin::text::bigint) FROM pg_type
        UNION ALL SELECT count(*), 0 FROM pg_db_role_setting
    ) AS catalogues
"""
_DISCONNECT = """
    SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
"""
_TABLES = (
    "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' ORDER BY relname"
)
_SEQUENCES = "SELECT oid::regclass::text FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'S'"

Result = TypeVar("Result")


class SpareDatabases:
    """`template`: the name of the migrated database on the server at `dsn`, to which nobody connects any more."""

    def __init__(self, dsn: str, template: str) -> None:
        self._dsn = dsn
        self._template = template
        self._spare: list[str] = []
        self._rows: dict[str, bytes] = {}
        self._on(template, self._remember)

    def take(self) -> str:
        """The DSN of a database, until `give_back`."""
        name = self._spare.pop() if self._spare else self._create()
        return with_path(self._dsn, name)

    def give_back(self, dsn: str) -> None:
        name = dsn.rpartition("/")[2]
        if self._on(name, self._restore):
            self._spare.append(name)
        else:
            run_postgres(self._dsn, f"DROP DATABASE {name} WITH (FORCE)")

    def _create(self) -> str:
        name = f"spare_{uuid4().hex}"
        run_postgres(self._dsn, f"CREATE DATABASE {name} TEMPLATE {self._template} STRATEGY file_copy")
        return name

    def _on(self, name: str, act: Callable[[asyncpg.Connection], Awaitable[Result]]) -> Result:
        return run_on_postgres(with_path(self._dsn, name), act)

    async def _remember(self, connection: asyncpg.Connection) -> None:
        self._schema = await connection.fetchval(_SCHEMA)
        tables = [row["relname"] for row in await connection.fetch(_TABLES)]
        for table in tables:
            content = io.BytesIO()
            if await connection.fetchval(f"SELECT EXISTS (SELECT FROM {table})"):
                await connection.copy_from_table(table, output=content, format="binary")
                self._rows[table] = content.getvalue()
        statements = [f"DELETE FROM {table}" for table in tables]
        for (sequence,) in await connection.fetch(_SEQUENCES):
            last, is_called = await connection.fetchrow(f"SELECT last_value, is_called FROM {sequence}")
            statements.append(f"SELECT setval('{sequence}', {last}, {is_called})")
        self._restoration = "; ".join(["SET session_replication_role = replica", *statements])

    async def _restore(self, connection: asyncpg.Connection) -> bool:
        """False if the schema is no longer the template's."""
        await connection.execute(_DISCONNECT)
        if await connection.fetchval(_SCHEMA) != self._schema:
            return False
        async with connection.transaction():
            await connection.execute(self._restoration)  # without triggers and foreign keys
            for table, content in self._rows.items():
                await connection.copy_to_table(table, source=io.BytesIO(content), format="binary")
        return True

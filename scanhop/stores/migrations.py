"""`scanhop migrate`: brings Postgres, the job queue's tables and ClickHouse to the schema of this version.

Invariants:
- One run at a time: the whole run holds an advisory lock in Postgres; a second one waits, then finds nothing to do.
- A Postgres migration is one transaction.
- ClickHouse has no transactional DDL. Each migration's state is recorded in `schema_migrations`, `started` before
  its first statement and `done` after its last; its statements are repeatable, and one left `started` is run again.
- A migration that has run is never edited: its checksum is recorded, and a difference is refused.
"""

import hashlib
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit, urlunsplit

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from pgqueuer.db import AsyncpgDriver
from pgqueuer.queries import Queries
from sqlalchemy import Connection, create_engine

from scanhop.stores.clickhouse import ClickHouse, clickhouse_errors
from scanhop.stores.errors import StoreError, StoreRejected, StoreUnavailable
from scanhop.stores.postgres import CONNECT_TIMEOUT_S, UNAVAILABLE

LOCK_KEY = 0x5CA9_0B01
CLICKHOUSE_TIMEOUT_S = 600

_STATES = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    version  String,
    checksum String,
    state    Enum8('started' = 1, 'done' = 2),
    at       DateTime64(6, 'UTC') DEFAULT now64(6)
) ENGINE = MergeTree ORDER BY (version, at)
"""


class EditedMigration(StoreError):
    """A migration that has run here is no longer what it was."""


@dataclass(frozen=True)
class Step:
    """One migration that is to run, or ran."""

    store: Literal["postgres", "jobs", "clickhouse"]
    name: str


@dataclass(frozen=True)
class _ClickHouseMigration:
    version: str
    text: str

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()

    def statements(self) -> list[str]:
        return [part.strip() for part in re.split(r";\s*$", self.text, flags=re.MULTILINE) if part.strip()]


async def migrate(postgres_dsn: str, clickhouse_url: str, *, dry_run: bool = False) -> list[Step]:
    """The steps that were run, or would be. Raises StoreError."""
    async with _lock(postgres_dsn) as connection:
        return [
            *_migrate_postgres(postgres_dsn, dry_run=dry_run),
            *await _migrate_jobs(connection, dry_run=dry_run),
            *await _migrate_clickhouse(clickhouse_url, dry_run=dry_run),
        ]


@asynccontextmanager
async def _lock(dsn: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    try:
        connection = await asyncpg.connect(dsn, timeout=CONNECT_TIMEOUT_S)
    except UNAVAILABLE as error:
        raise StoreUnavailable(f"postgres: {error or type(error).__name__}") from error
    try:
        await connection.execute("SELECT pg_advisory_lock($1)", LOCK_KEY)
        yield connection
    finally:
        await connection.close()


def _migrate_postgres(dsn: str, *, dry_run: bool) -> list[Step]:
    engine = create_engine(_sqlalchemy_url(dsn))
    with as_file(files("scanhop.migrations") / "postgres") as folder, engine.connect() as connection:
        config = _alembic_config(folder, connection)
        pending = _pending_versions(config, connection)
        if pending and not dry_run:
            command.upgrade(config, "head")
            connection.commit()
    engine.dispose()
    return pending


def _alembic_config(folder: Path, connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(folder))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def _pending_versions(config: Config, connection: Connection) -> list[Step]:
    script = ScriptDirectory.from_config(config)
    current = MigrationContext.configure(connection).get_current_revision()
    connection.rollback()
    ahead = [] if current == script.get_current_head() else list(script.iterate_revisions("head", current or "base"))
    return [Step("postgres", Path(revision.module.__file__ or "").stem) for revision in reversed(ahead)]


def _sqlalchemy_url(dsn: str) -> str:
    return urlunsplit(urlsplit(dsn)._replace(scheme="postgresql+psycopg"))


async def _migrate_jobs(connection: "asyncpg.Connection[asyncpg.Record]", *, dry_run: bool) -> list[Step]:
    """The tables of the job queue are PgQueuer's own, at the version that is installed."""
    queries = Queries(AsyncpgDriver(connection))
    if not await queries.schema_is_installed():
        if not dry_run:
            await queries.install()
        return [Step("jobs", "install")]
    plan = await queries.plan_upgrade() if dry_run else await queries.apply_upgrade()
    return [Step("jobs", "upgrade")] if plan.statements else []


async def _migrate_clickhouse(url: str, *, dry_run: bool) -> list[Step]:
    clickhouse = ClickHouse(url, timeout_s=CLICKHOUSE_TIMEOUT_S)
    try:
        done = await _done_checksums(clickhouse)
        pending = [migration for migration in _clickhouse_migrations() if _is_pending(migration, done)]
        if not dry_run:
            for migration in pending:
                await _apply(clickhouse, migration)
    finally:
        await clickhouse.close()
    return [Step("clickhouse", migration.version) for migration in pending]


def _clickhouse_migrations() -> list[_ClickHouseMigration]:
    folder = files("scanhop.migrations") / "clickhouse"
    found = [item for item in folder.iterdir() if item.name.endswith(".sql")]
    return [
        _ClickHouseMigration(item.name.removesuffix(".sql"), item.read_text())
        for item in sorted(found, key=lambda item: item.name)
    ]


async def _done_checksums(clickhouse: ClickHouse) -> dict[str, str]:
    client = await clickhouse.client()
    with clickhouse_errors():
        exists = await client.command("EXISTS TABLE schema_migrations")
        if not exists:
            return {}
        rows = await client.query("SELECT version, checksum FROM schema_migrations WHERE state = 'done'")
    return {version: checksum for version, checksum in rows.result_rows}  # noqa: C416 - rows are lists or tuples


def _is_pending(migration: _ClickHouseMigration, done: dict[str, str]) -> bool:
    checksum = done.get(migration.version)
    if checksum not in (None, migration.checksum):
        raise EditedMigration(f"clickhouse migration {migration.version} was edited after it had run")
    return checksum is None


async def _apply(clickhouse: ClickHouse, migration: _ClickHouseMigration) -> None:
    client = await clickhouse.client()
    try:
        with clickhouse_errors():
            await client.command(_STATES)
            await _note(clickhouse, migration, "started")
            for statement in migration.statements():
                await client.command(statement)
            await _note(clickhouse, migration, "done")
    except StoreRejected as error:
        raise StoreRejected(f"clickhouse migration {migration.version}: {error}") from error


async def _note(clickhouse: ClickHouse, migration: _ClickHouseMigration, state: str) -> None:
    client = await clickhouse.client()
    await client.command(
        "INSERT INTO schema_migrations (version, checksum, state) "
        "VALUES ({version:String}, {checksum:String}, {state:String})",
        parameters={"version": migration.version, "checksum": migration.checksum, "state": state},
    )

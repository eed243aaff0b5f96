"""Postgres by asyncpg.

When it is away: a call raises StoreUnavailable within the time-outs set here; the pool reconnects by itself.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

import asyncpg
import orjson

from scanhop.stores.errors import StoreRejected, StoreUnavailable

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]
else:
    Connection = asyncpg.Connection

Work = Callable[[], Awaitable[None]]

CONNECT_TIMEOUT_S = 5.0
UNAVAILABLE = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a connection that the server ended while it was idle
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
)
# Refused for now, or until an operator mends it: cancelled, out of resources, read-only, no such database, no access,
# a schema that is not migrated yet.
MENDABLE = (
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.DeadlockDetectedError,
    asyncpg.PostgresSystemError,
    asyncpg.UndefinedTableError,
    asyncpg.UndefinedColumnError,
)


class Postgres:
    """A pool that opens on first use, so that a process starts while Postgres is away."""

    def __init__(
        self,
        dsn: str,
        *,
        max_connections: int,
        command_timeout_s: float,
        connect_timeout_s: float = CONNECT_TIMEOUT_S,
    ) -> None:
        self._dsn = dsn
        self._connect_timeout_s = connect_timeout_s
        self._max_connections = max_connections
        self._command_timeout_s = command_timeout_s
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None
        self._opening = asyncio.Lock()
        self._joined: ContextVar[tuple[Connection, list[Work]] | None] = ContextVar("joined", default=None)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Raises StoreUnavailable when Postgres cannot be reached, or goes away meanwhile."""
        joined = self._joined.get()
        try:
            if joined is not None:
                yield joined[0]
                return
            pool = self._pool or await self._open()
            async with pool.acquire(timeout=CONNECT_TIMEOUT_S) as connection, _given_up_when_silent(connection):
                yield connection
        except (*UNAVAILABLE, *MENDABLE) as error:
            raise StoreUnavailable(f"postgres: {error or type(error).__name__}") from error

    @asynccontextmanager
    async def checked_connection(self) -> AsyncIterator[Connection]:
        """For who goes on without the answer: beside StoreUnavailable, StoreRejected for what Postgres refuses."""
        try:
            async with self.connection() as connection:
                yield connection
        except asyncpg.PostgresError as error:
            raise StoreRejected(f"postgres: {error}") from error

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        async with self.connection() as connection, connection.transaction(), _given_up_when_silent(connection):
            yield connection

    @asynccontextmanager
    async def joined_transaction(self) -> AsyncIterator[Connection]:
        """One transaction for all that this task, and none beside it, does until the end: every connection asked for
        within is this one, a transaction a savepoint. What was left to `after_commit` follows the commit; one within
        another leaves it to the outer one's."""
        outer = self._joined.get()
        if outer is not None:
            async with self.transaction() as connection:
                yield connection
            return
        afterwards: list[Work] = []
        async with self.transaction() as connection:
            token = self._joined.set((connection, afterwards))
            try:
                yield connection
            finally:
                self._joined.reset(token)
        for work in afterwards:
            await self.after_commit(work)

    @property
    def is_joined(self) -> bool:
        """Whether this task is inside a joined transaction, and so has its connection."""
        return self._joined.get() is not None

    async def after_commit(self, work: Work) -> None:
        """Does `work` once what was done so far is committed: now, unless a joined transaction is open."""
        joined = self._joined.get()
        if joined is None:
            await work()
        else:
            joined[1].append(work)

    async def ping(self) -> None:
        """It answers, and has our schema. Raises StoreUnavailable."""
        async with self.connection() as connection:
            await connection.execute("SELECT FROM alembic_version")

    async def close(self) -> None:
        if self._pool is not None:
            pool, self._pool = self._pool, None
            await pool.close()

    async def _open(self) -> "asyncpg.Pool[asyncpg.Record]":
        async with self._opening:
            if self._pool is None:
                self._pool = await asyncpg.create_pool(
                    self._dsn,
                    min_size=0,
                    max_size=self._max_connections,
                    command_timeout=self._command_timeout_s,
                    timeout=self._connect_timeout_s,
                    init=_set_codecs,
                )
            return self._pool


async def fetch_planned(connection: Connection, statement: str, *values: object) -> "list[asyncpg.Record]":
    """By a plan for these values, for a statement of many filters: for one that it knows, Postgres may after five
    calls keep a plan for any values, made without knowing which filters are given and how rare is what they ask for.
    """
    prepared = await connection.prepare(statement, name="")
    return await prepared.fetch(*values)


@asynccontextmanager
async def _given_up_when_silent(connection: Connection) -> AsyncIterator[None]:
    """After a time-out the connection is cut: to roll back or to hand it back would wait for the server once more."""
    try:
        yield
    except TimeoutError:
        connection.terminate()
        raise


async def _set_codecs(connection: Connection) -> None:
    await connection.set_type_codec(
        "jsonb",
        schema="pg_catalog",
        format="binary",
        encoder=_encode_jsonb,
        decoder=lambda data: orjson.loads(data[1:]),
    )


def _encode_jsonb(value: object) -> bytes:
    """Text is taken as JSON that is written already: PgQueuer hands it over so."""
    return b"\x01" + (value.encode() if isinstance(value, str) else orjson.dumps(value))

"""Postgres by asyncpg.

When it is away: a call raises StoreUnavailable within the time-outs set here; the pool reconnects by itself.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
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
OnConnection = Callable[[Connection], Awaitable[None]]

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


async def _nothing(_connection: Connection) -> None:
    pass


class _Joined:
    """A joined transaction: `begun` ends it, where it has begun."""

    def __init__(self, outer: "_Joined | None", first: OnConnection, places: asyncio.Semaphore | None) -> None:
        self.outer = outer
        self.first = first
        self.places = places
        self.begun = AsyncExitStack()
        self.beginning = asyncio.Lock()
        self.connection: Connection | None = None
        self.is_over = False
        self.afterwards: list[Work] = [] if outer is None else outer.afterwards

    @property
    def has_connection(self) -> bool:
        return self.connection is not None or (self.outer is not None and self.outer.has_connection)


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
        self._joined: ContextVar[_Joined | None] = ContextVar("joined", default=None)

    @asynccontextmanager
    async def connection(self, *, joins: bool = True) -> AsyncIterator[Connection]:
        """Raises StoreUnavailable when Postgres cannot be reached, or goes away meanwhile.

        `joins` False is for a look-up that need not be in the joined transaction: it does not make it begin."""
        joined = self._current()
        try:
            if joined is not None and (joins or joined.has_connection):
                yield await self._begin(joined)
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
    async def joined_transaction(
        self, *, first: OnConnection = _nothing, places: asyncio.Semaphore | None = None
    ) -> AsyncIterator[None]:
        """One transaction for all that this task, and none beside it, does until the end: every connection asked for
        within is this one, a transaction a savepoint. It begins when a connection is first asked for, with `first`:
        what goes before holds none. One of `places` is held along with the connection. What was left to
        `after_commit` follows the commit; one within another leaves it to the outer one's."""
        outer = self._current()
        joined = _Joined(outer, first, places)
        async with joined.begun:
            token = self._joined.set(joined)
            try:
                yield
            finally:
                self._joined.reset(token)
                joined.is_over = True
        if outer is None:
            for work in joined.afterwards:
                await work()

    @property
    def is_joined(self) -> bool:
        """Whether this task is inside a joined transaction."""
        return self._current() is not None

    @property
    def holds_connection(self) -> bool:
        """Whether this task is inside a joined transaction that has begun."""
        joined = self._current()
        return joined is not None and joined.has_connection

    async def after_commit(self, work: Work) -> None:
        """Does `work` once what was done so far is committed: now, unless a joined transaction is open."""
        joined = self._current()
        if joined is None:
            await work()
        else:
            joined.afterwards.append(work)

    async def ping(self) -> None:
        """It answers, and has our schema. Raises StoreUnavailable."""
        async with self.connection() as connection:
            await connection.execute("SELECT FROM alembic_version")

    async def close(self) -> None:
        if self._pool is not None:
            pool, self._pool = self._pool, None
            await pool.close()

    def _current(self) -> "_Joined | None":
        """Of a task that outlives the transaction it was begun in: none."""
        joined = self._joined.get()
        return None if joined is None or joined.is_over else joined

    async def _begin(self, joined: "_Joined") -> Connection:
        """Once: a connection of the pool and its transaction, or a savepoint of the outer one."""
        async with joined.beginning:
            if joined.connection is None:
                if joined.places is not None:
                    async with asyncio.timeout(CONNECT_TIMEOUT_S):
                        await joined.begun.enter_async_context(joined.places)
                token = self._joined.set(joined.outer)
                try:
                    connection = await joined.begun.enter_async_context(self.transaction())
                finally:
                    self._joined.reset(token)
                await joined.first(connection)
                joined.connection = connection
            return joined.connection

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

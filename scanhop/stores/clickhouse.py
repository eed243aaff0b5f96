"""ClickHouse by clickhouse-connect's async HTTP client.

When it is away: a call raises StoreUnavailable; a statement that ClickHouse refuses raises StoreRejected.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import aiohttp
import clickhouse_connect
from clickhouse_connect.driver.asyncclient import AsyncClient
from clickhouse_connect.driver.exceptions import ClickHouseError, DatabaseError

from scanhop.stores.errors import StoreRejected, StoreUnavailable

CONNECT_TIMEOUT_S = 5

# ClickHouse error codes after which the same statement may succeed: time-outs, too many queries or parts, memory,
# network, aborted, shutting down, no space, read-only.
_PASSING = [3, 159, 164, 198, 202, 203, 207, 209, 210, 236, 241, 242, 243, 252, 279, 285, 319, 394, 425, 439, 999]

# ... or once an operator has mended it: no such table or database, unknown user, wrong password, no access.
_MENDABLE = [60, 81, 192, 193, 194, 497, 516]
_RETRYABLE_CODES = frozenset([*_PASSING, *_MENDABLE])


class ClickHouse:
    """One client, opened on first use, so that a process starts while ClickHouse is away."""

    def __init__(self, url: str, *, timeout_s: int) -> None:
        self._url = url
        self._timeout_s = timeout_s
        self._client: AsyncClient | None = None
        self._opening = asyncio.Lock()

    async def client(self) -> AsyncClient:
        """Raises StoreUnavailable."""
        async with self._opening:
            if self._client is None:
                with clickhouse_errors():
                    self._client = await clickhouse_connect.get_async_client(
                        dsn=self._url,
                        connect_timeout=CONNECT_TIMEOUT_S,
                        send_receive_timeout=self._timeout_s,
                        autogenerate_session_id=False,
                        query_retries=0,
                    )
            return self._client

    async def ping(self) -> None:
        client = await self.client()
        with clickhouse_errors():
            await client.command("SELECT 1")

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()
            self._client = None


@contextmanager
def clickhouse_errors() -> Iterator[None]:
    """Turns clickhouse-connect's and aiohttp's errors into StoreUnavailable or StoreRejected."""
    try:
        yield
    except DatabaseError as error:
        # Without a code it is no answer of the server's: the connection failed.
        if error.code is None or error.code in _RETRYABLE_CODES:
            raise StoreUnavailable(f"clickhouse: {error}") from error
        raise StoreRejected(f"clickhouse: {error}", error.code) from error
    except (ClickHouseError, aiohttp.ClientError, OSError, TimeoutError) as error:
        raise StoreUnavailable(f"clickhouse: {error or type(error).__name__}") from error

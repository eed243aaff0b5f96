"""Redis by redis-py's asyncio client.

When it is away: a call raises StoreUnavailable within `timeout_s`, without retries of its own; the next call
connects anew. A server that announces maintenance does not stretch that bound.
"""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import redis.asyncio
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    BusyLoadingError,
    ClusterDownError,
    MasterDownError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TryAgainError,
)
from redis.maint_notifications import MaintNotificationsConfig

from scanhop.stores.errors import StoreRejected, StoreUnavailable

Redis = redis.asyncio.Redis
OnInvalidation = Callable[[Sequence[Any]], Awaitable[object]]

MAX_CONNECTIONS = 16

# What Redis refuses now and may take later. A script's own errors come as plain text.
_PASSING = (OutOfMemoryError, ReadOnlyError, MasterDownError, TryAgainError, BusyLoadingError, ClusterDownError)
_PASSING_IN_A_SCRIPT = ("OOM ", "READONLY ", "MASTERDOWN ", "BUSY ", "LOADING ", "TRYAGAIN ", "-OOM", "-READONLY")


def open_redis(url: str, *, timeout_s: float) -> Redis:
    """At most MAX_CONNECTIONS; a call that finds none free waits for one."""
    pool = redis.asyncio.BlockingConnectionPool.from_url(
        url,
        max_connections=MAX_CONNECTIONS,
        timeout=timeout_s,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        retry=Retry(NoBackoff(), 0),
        decode_responses=False,
        maint_notifications_config=MaintNotificationsConfig(enabled=False),
    )
    return redis.asyncio.Redis.from_pool(pool)


def new_connection(url: str, on_invalidation: OnInvalidation, *, connect_timeout_s: float) -> AbstractConnection:
    """One of its own, not yet connected, that speaks RESP3 and waits for a message as long as it takes.

    Reading a push of client tracking gives what `on_invalidation` makes of it.
    """
    pool: Any = redis.asyncio.ConnectionPool.from_url(
        url,
        retry=Retry(NoBackoff(), 0),
        maint_notifications_config=MaintNotificationsConfig(enabled=False),
    )
    pool.connection_kwargs.update(
        protocol=3,
        socket_timeout=None,
        socket_connect_timeout=connect_timeout_s,
        decode_responses=False,
    )
    connection: AbstractConnection = pool.make_connection()
    parser: Any = connection._get_push_notifications_parser()
    parser.set_invalidation_push_handler(on_invalidation)
    return connection


@contextmanager
def redis_errors() -> Iterator[None]:
    """Turns redis-py's errors into StoreUnavailable or StoreRejected."""
    try:
        yield
    except ResponseError as error:
        passing = isinstance(error, _PASSING) or any(word in str(error) for word in _PASSING_IN_A_SCRIPT)
        kind = StoreUnavailable if passing else StoreRejected
        raise kind(f"redis: {error}") from error
    except (RedisError, OSError, TimeoutError) as error:
        raise StoreUnavailable(f"redis: {error or type(error).__name__}") from error

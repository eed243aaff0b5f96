"""Redis by redis-py's asyncio client.

When it is away: a call raises StoreUnavailable within `timeout_s`, without retries of its own; the next call
connects anew.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from scanhop.stores.errors import StoreRejected, StoreUnavailable

Redis = redis.asyncio.Redis


def open_redis(url: str, *, timeout_s: float) -> Redis:
    return redis.asyncio.Redis.from_url(
        url,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        retry=Retry(NoBackoff(), 0),
        decode_responses=False,
    )


@contextmanager
def redis_errors() -> Iterator[None]:
    """Turns redis-py's errors into StoreUnavailable or StoreRejected."""
    try:
        yield
    except ResponseError as error:
        if str(error).startswith(("LOADING", "READONLY", "OOM", "MASTERDOWN", "BUSY", "TRYAGAIN")):
            raise StoreUnavailable(f"redis: {error}") from error
        raise StoreRejected(f"redis: {error}") from error
    except (RedisError, OSError, TimeoutError) as error:
        raise StoreUnavailable(f"redis: {error or type(error).__name__}") from error

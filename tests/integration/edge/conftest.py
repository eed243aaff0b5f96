"""Edge workers on real engines, on the event loop that they run on in production."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import uvloop

from tests.edge_worker import AWAY_REDIS, EdgeWorker, running

NewWorker = Callable[..., Awaitable[EdgeWorker]]


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> Mapping[str, Callable[[], Any]]:
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture
async def new_worker(redis_url: str, postgres_dsn: str, spool_root: Path) -> AsyncIterator[NewWorker]:
    """Builds a running worker; `redis` and `postgres` are addresses, the others go to EdgeWorker."""
    async with contextlib.AsyncExitStack() as stack:

        async def build(redis: str = redis_url, postgres: str = postgres_dsn, **options: Any) -> EdgeWorker:
            worker = EdgeWorker(redis, postgres, spool_root, **options)
            return await stack.enter_async_context(running(worker, until_connected=redis != AWAY_REDIS))

        yield build


@pytest.fixture
async def worker(new_worker: NewWorker) -> EdgeWorker:
    return await new_worker()

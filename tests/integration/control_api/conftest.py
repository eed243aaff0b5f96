"""The API on real engines. Without `clickhouse_url` it gets an address where nothing listens."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from typing import Any

import asyncpg
import httpx
import pytest
import pytest_asyncio

from control_api.app import build_app
from control_api.clock import Clock, utc_now
from control_api.settings import ApiSettings
from scanhop.stores.redis import open_redis
from scanhop.stores.routes import RouteCache
from scanhop.wire.ids import DEFAULT_DOMAIN_ID
from scanhop.wire.route import Route, decode_route
from tests.integration.control_api.api_client import ADMIN_KEY, Account, Api
from tests.integration.control_api.documented_answers import checks_of
from tests.integration.control_api.scan_rows import ScanRows

NOBODY = "127.0.0.1:9"

OpenApi = Callable[..., AbstractAsyncContextManager[Api]]


@pytest.fixture
def settings(postgres_dsn: str, redis_url: str) -> ApiSettings:
    return ApiSettings(
        postgres_dsn,
        redis_url,
        f"http://{NOBODY}/",
        "https://qr.example",
        ADMIN_KEY,
        access_keys=(b"a" * 32,),
        state_keys=(b"s" * 32,),
        rate_per_second=100_000,
        rate_burst=1_000_000,  # tests ask more often than people
    )


@pytest.fixture
def open_api(settings: ApiSettings) -> OpenApi:
    """Opens the API with some settings changed."""

    @asynccontextmanager
    async def open_with(clock: Clock = utc_now, **changes: object) -> AsyncIterator[Api]:
        app = build_app(replace(settings, **changes), clock)
        transport = httpx.ASGITransport(app)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://api", event_hooks=checks_of(app)) as client,
        ):
            yield Api(app, client)

    return open_with


@pytest_asyncio.fixture
async def api(open_api: OpenApi) -> AsyncIterator[Api]:
    async with open_api() as opened:
        yield opened


@pytest_asyncio.fixture
async def account(api: Api) -> Account:
    return await api.create_account()


@pytest_asyncio.fixture
async def code(api: Api, account: Account) -> dict[str, Any]:
    return await api.create_code(account)


@pytest_asyncio.fixture
async def database(postgres_dsn: str) -> AsyncIterator[asyncpg.Connection]:
    """Behind the API's back."""
    connection = await asyncpg.connect(postgres_dsn)
    yield connection
    await connection.close()


@pytest_asyncio.fixture
async def scans(clickhouse_url: str) -> AsyncIterator[ScanRows]:
    written = ScanRows(clickhouse_url)
    yield written
    await written.close()


@pytest_asyncio.fixture
async def cached(redis_url: str) -> AsyncIterator[Callable[[dict[str, Any]], Awaitable[Route | None]]]:
    """Finds the route of a code as Redis has it."""
    redis = open_redis(redis_url, timeout_s=1)
    cache = RouteCache(redis)

    async def find(code: dict[str, Any]) -> Route | None:
        [held] = (await cache.list_routes([(DEFAULT_DOMAIN_ID.bytes, code["short_code"])])).routes
        return None if held is None else decode_route(held)

    yield find
    await redis.aclose()

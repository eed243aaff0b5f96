"""`/healthz`, `/readyz`, `/metrics` and `/robots.txt`."""

import asyncio
from collections.abc import Awaitable, Callable

import orjson
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from scanhop.stores.postgres import Postgres
from scanhop.stores.probe import answers_within
from scanhop.stores.redis import Redis

PROBE_TIMEOUT_S = 1.0
ROBOTS = "User-agent: *\nDisallow: /\n"


class Health:
    """Ready: some store can be asked for a route."""

    def __init__(self, redis: Redis, postgres: Postgres, metrics: Callable[[], Awaitable[bytes]]) -> None:
        self._redis = redis
        self._postgres = postgres
        self._metrics = metrics

    async def live(self, request: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def ready(self, request: Request) -> Response:
        names = ("redis", "postgres")
        up = await asyncio.gather(
            answers_within(PROBE_TIMEOUT_S, self._ping_redis()),
            answers_within(PROBE_TIMEOUT_S, self._postgres.ping()),
        )
        body = {"ready": any(up), "stores": dict(zip(names, ("ok" if it else "down" for it in up), strict=True))}
        return Response(orjson.dumps(body), 200 if any(up) else 503, media_type="application/json")

    async def metrics(self, request: Request) -> Response:
        return Response(await self._metrics(), media_type="text/plain; version=0.0.4")

    async def robots(self, request: Request) -> Response:
        return PlainTextResponse(ROBOTS)

    async def _ping_redis(self) -> None:
        await self._redis.ping()

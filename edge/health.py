"""`/healthz`, `/readyz`, `/metrics` and `/robots.txt`."""

import asyncio
from collections.abc import Awaitable

import orjson
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from edge.metrics import EdgeMetrics
from scanhop.stores.postgres import Postgres
from scanhop.stores.redis import Redis

PROBE_TIMEOUT_S = 1.0
ROBOTS = "User-agent: *\nDisallow: /\n"


class Health:
    """Ready: some store can be asked for a route."""

    def __init__(self, redis: Redis, postgres: Postgres, metrics: EdgeMetrics) -> None:
        self._redis = redis
        self._postgres = postgres
        self._metrics = metrics

    async def live(self, request: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def ready(self, request: Request) -> Response:
        names = ("redis", "postgres")
        up = await asyncio.gather(_answers(self._redis.ping()), _answers(self._postgres.ping()))
        body = {"ready": any(up), "stores": dict(zip(names, ("ok" if it else "down" for it in up), strict=True))}
        return Response(orjson.dumps(body), 200 if any(up) else 503, media_type="application/json")

    async def metrics(self, request: Request) -> Response:
        return Response(self._metrics.text(), media_type="text/plain; version=0.0.4")

    async def robots(self, request: Request) -> Response:
        return PlainTextResponse(ROBOTS)


async def _answers(probe: Awaitable[object]) -> bool:
    try:
        async with asyncio.timeout(PROBE_TIMEOUT_S):
            await probe
    except Exception:  # noqa: BLE001 - whatever it is, the store does not answer
        return False
    return True

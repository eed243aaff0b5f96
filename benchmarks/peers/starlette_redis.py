"""A redirect as a plain Starlette application does it: one route, one Redis GET for each request; records nothing.

Usage: python starlette_redis.py PORT REDIS_URL; runs on uvicorn with httptools and uvloop.
"""

import sys

import redis.asyncio
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

KEY_PREFIX = "benchmark:target:"


def build_app(redis_url: str) -> Starlette:
    targets = redis.asyncio.Redis.from_url(redis_url, decode_responses=True)

    async def answer(request: Request) -> Response:
        target = await targets.get(KEY_PREFIX + request.path_params["code"])
        if target is None:
            return Response(status_code=404)
        headers = {"Location": str(target), "Cache-Control": "private, no-store", "X-Robots-Tag": "noindex"}
        return Response(status_code=302, headers=headers)

    return Starlette(routes=[Route("/r/{code}", answer)])


def main(port: str, redis_url: str) -> None:
    uvicorn.run(
        build_app(redis_url),
        host="127.0.0.1",
        port=int(port),
        backlog=2048,
        loop="uvloop",
        http="httptools",
        ws="none",
        access_log=False,
        log_level="warning",
        server_header=False,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])

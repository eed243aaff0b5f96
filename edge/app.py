"""Wires one worker's application."""

from collections.abc import Sequence

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route as Path

from edge.answers import build_answer
from edge.health import Health
from edge.local_cache import LocalCache
from edge.metrics import EdgeMetrics
from edge.recorder import Recorder
from edge.redirect import Redirector
from edge.resolver import Resolver
from scanhop.routing.decision import UNKNOWN
from scanhop.spool import SpoolWriter
from scanhop.stores.postgres import Postgres
from scanhop.stores.redis import Redis
from scanhop.stores.routes import RouteCache, RouteTable

# Bounds how long an edit takes to reach every worker, since nothing tells them of it.
ROUTE_TTL_S = 0.8


class Edge:
    """One worker: the public application, and the one for metrics where they have an address of their own."""

    def __init__(self, worker: int, redis: Redis, postgres: Postgres, spool: SpoolWriter) -> None:
        cache = LocalCache(ROUTE_TTL_S)
        resolver = Resolver(cache, RouteCache(redis), RouteTable(postgres))
        recorder = Recorder(spool)
        self._redirector = Redirector(resolver, recorder, spool)
        metrics = EdgeMetrics(worker, self._redirector, resolver, cache, recorder, spool)
        self._health = Health(redis, postgres, metrics)

    def public_app(self, *, with_metrics: bool) -> Starlette:
        paths = [
            Path("/r/{code}", self._redirector.handle, methods=["GET"]),
            Path("/R/{code}", self._redirector.handle, methods=["GET"]),
            Path("/healthz", self._health.live),
            Path("/readyz", self._health.ready),
            Path("/robots.txt", self._health.robots),
        ]
        return _build([*paths, self._metrics_path()] if with_metrics else paths)

    def metrics_app(self) -> Starlette:
        return _build([self._metrics_path(), Path("/healthz", self._health.live)])

    def _metrics_path(self) -> Path:
        return Path("/metrics", self._health.metrics)


def _build(paths: Sequence[Path]) -> Starlette:
    app = Starlette(routes=paths, exception_handlers={404: _not_found})
    app.router.redirect_slashes = False
    return app


async def _not_found(request: Request, error: Exception) -> Response:
    return build_answer(UNKNOWN)

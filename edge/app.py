"""Wires one worker: what its connections share, and the Starlette applications behind them."""

import asyncio
from collections.abc import Sequence

from starlette.applications import Starlette
from starlette.routing import Route as Path
from starlette.routing import request_response

from edge.answers import Answers
from edge.domains import Domains
from edge.fast_path import MAX_CONNECTIONS, Connections
from edge.health import Health
from edge.invalidation import RouteFollower
from edge.limits import ScanLimits
from edge.local_cache import LocalCache
from edge.metrics import EdgeMetrics
from edge.pages import Brand, Pages
from edge.passwords import Passwords
from edge.recorder import Recorder
from edge.redirect import Redirector
from edge.resolver import Resolver
from edge.scan_endpoint import ScanEndpoint
from edge.unknown_budget import UnknownBudget
from edge.worker_metrics import Siblings, WorkerMetrics
from scanhop.client_facts.request_facts import FactReaders
from scanhop.spool import BoundedWriter
from scanhop.stores.domains import DomainCache, DomainTable
from scanhop.stores.invalidations import Invalidations
from scanhop.stores.postgres import Postgres
from scanhop.stores.redis import Redis
from scanhop.stores.routes import RouteCache, RouteTable
from scanhop.stores.scan_counters import ScanCounters, ScanCountTable


class Edge:
    """One worker. Made on a running loop; `run` keeps it in step with the stores until it is cancelled."""

    def __init__(  # noqa: PLR0913 - what a worker needs
        self,
        worker: int,
        redis: Redis,
        postgres: Postgres,
        spool: BoundedWriter,
        readers: FactReaders,
        brand: Brand,
        invalidations: Invalidations,
        *,
        with_metrics: bool,
        siblings: Siblings | None = None,
        max_connections: int = MAX_CONNECTIONS,
    ) -> None:
        self._invalidations = invalidations
        self.cache = LocalCache()
        self.domains = Domains()
        self.recorder = Recorder(spool)
        self.limits = ScanLimits(ScanCounters(redis), ScanCountTable(postgres))
        self.budget = UnknownBudget()
        self.redirector = Redirector(
            self.domains,
            self.recorder,
            spool,
            Answers(Pages(brand)),
            readers,
            self.limits,
            Passwords(),
            self.budget,
        )
        routes = RouteCache(redis)
        self.resolver = Resolver(self.cache, routes, RouteTable(postgres), self.redirector.build_entry)
        self.follower = RouteFollower(self.resolver, self.domains, routes, DomainCache(redis), DomainTable(postgres))
        self._endpoint = ScanEndpoint(self.domains, self.resolver, self.redirector, self.recorder)
        self._worker_metrics = WorkerMetrics(self._metrics_text, siblings or Siblings())
        self._health = Health(redis, postgres, self._worker_metrics.text)
        self.app = self._public_app(with_metrics=with_metrics)
        self.connections = Connections(
            self.cache, self.resolver, self.redirector, self.recorder, self.domains, self.app, max_connections
        )
        self.metrics = EdgeMetrics(
            worker,
            spool,
            self.cache,
            self.recorder,
            self.redirector,
            self.resolver,
            self.connections,
            self.follower,
            self.limits,
            self.budget,
        )

    async def run(self) -> None:
        """Hears of changes, and keeps the time of the connections."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._invalidations.follow(self.follower))
            tasks.create_task(self.follower.follow_domains())
            tasks.create_task(self.connections.keep_time())
            tasks.create_task(self._worker_metrics.tell_siblings())

    def drain(self) -> None:
        """No more requests than those under way and on their way."""
        self.connections.drain()
        self._worker_metrics.close()

    def _metrics_text(self) -> bytes:
        return self.metrics.text()

    def metrics_app(self) -> Starlette:
        return _build([self._metrics_path(), Path("/healthz", self._health.live)])

    def _public_app(self, *, with_metrics: bool) -> Starlette:
        app = _build(
            [
                Path("/healthz", self._health.live),
                Path("/readyz", self._health.ready),
                Path("/robots.txt", self._health.robots),
                *([self._metrics_path()] if with_metrics else []),
            ]
        )
        # Not a path like the others: those know no newline, no `*`, and no method beyond their list.
        app.router.default = request_response(self._endpoint.handle)
        return app

    def _metrics_path(self) -> Path:
        return Path("/metrics", self._health.metrics)


def _build(paths: Sequence[Path]) -> Starlette:
    app = Starlette(routes=paths)
    app.router.redirect_slashes = False
    return app

"""What one edge worker counts, in Prometheus' text format. docs/metrics.md describes each."""

import time
from collections.abc import Iterator, Mapping

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from edge.fast_path import Connections
from edge.invalidation import RouteFollower
from edge.limits import ScanLimits
from edge.local_cache import LocalCache
from edge.recorder import Recorder
from edge.redirect import Redirector
from edge.resolver import Resolver
from edge.unknown_budget import UnknownBudget
from scanhop.spool import BoundedWriter, LossReason
from scanhop.wire.scan_record import Outcome

REFUSALS = (400, 408, 411, 413, 414, 431, 503)


class WorkerCount(Collector):
    """How many workers a text speaks of, and how many there should be."""

    def __init__(self, answering: int, configured: int) -> None:
        self._counts = {"answering": answering, "configured": configured}

    def collect(self) -> Iterator[Metric]:
        family = GaugeMetricFamily("scanhop_edge_workers", "Worker processes.", labels=["state"])
        for state, count in self._counts.items():
            family.add_metric([state], count)
        yield family


def workers_text(*, answering: int, configured: int) -> bytes:
    registry = CollectorRegistry()
    registry.register(WorkerCount(answering, configured))
    return generate_latest(registry)


class EdgeMetrics(Collector):
    """Reads the worker's plain counters when it is asked; counting costs the redirect an integer addition."""

    def __init__(  # noqa: PLR0913 - the parts of a worker
        self,
        worker: int,
        spool: BoundedWriter,
        cache: LocalCache,
        recorder: Recorder,
        redirector: Redirector,
        resolver: Resolver,
        connections: Connections,
        follower: RouteFollower,
        limits: ScanLimits,
        budget: UnknownBudget,
    ) -> None:
        self._worker = str(worker)
        self._spool = spool
        self._cache = cache
        self._recorder = recorder
        self._redirector = redirector
        self._resolver = resolver
        self._connections = connections
        self._follower = follower
        self._limits = limits
        self._budget = budget
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def text(self) -> bytes:
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        spool = self._spool
        scans = {outcome.label: self._recorder.scans[outcome] for outcome in Outcome}
        yield self._counter("scanhop_edge_scans", "Scans answered.", "outcome", scans)
        counted = spool.lost
        lost = {reason.value: counted[reason] for reason in LossReason}
        yield self._counter("scanhop_edge_lost_scans", "Scans that are not in the spool.", "reason", lost)
        yield self._counter("scanhop_edge_routes", "Routes looked up.", "source", self._sources())
        unavailable = {"store_down": self._redirector.unavailable}
        yield self._counter("scanhop_edge_unavailable", "Scans answered 503.", "reason", unavailable)
        refused = {str(status): self._connections.refused[status] for status in REFUSALS}
        yield self._counter("scanhop_edge_refused_requests", "Requests turned away.", "status", refused)
        unheld = {"scan_limit": self._limits.opened, "unknown_budget": self._budget.exceeded}
        yield self._counter("scanhop_edge_exceptions", "Answers that a bound would have made others.", "rule", unheld)
        yield self._counter("scanhop_edge_spool_faults", "Spool files that were given up.", "call", spool.faults)
        spooled = {"written": spool.written_records}
        yield self._counter("scanhop_edge_spooled_scans", "Scans written into the spool.", "state", spooled)
        cached = {"known": len(self._cache.known), "unknown": len(self._cache.unknown)}
        yield self._gauge("scanhop_edge_cached_codes", "Codes remembered.", "kind", cached)
        yield self._gauge(
            "scanhop_edge_connections", "Open connections.", "state", {"open": len(self._connections.open)}
        )
        yield self._gauge("scanhop_edge_invalidation", "How far changes were heard.", "what", self._heard())
        backlog = spool.backlog
        age_s = 0.0 if backlog.oldest_at is None else max(0.0, time.time() - backlog.oldest_at)
        waiting = {"segments": backlog.segments, "bytes": backlog.bytes, "oldest_age_seconds": age_s}
        yield self._gauge("scanhop_edge_spool_waiting", "What ClickHouse has not accepted yet.", "what", waiting)

    def _sources(self) -> dict[str, int]:
        """What the fast path found in the cache, it counts itself."""
        sources = {source: self._resolver.sources[source] for source in self._resolver.SOURCES}
        return sources | {"cache": sources["cache"] + self._connections.hits + self._connections.outbox.ready_scans}

    def _heard(self) -> dict[str, float]:
        follower = self._follower
        return {
            "is_connected": float(follower.is_connected),
            "published": follower.published,
            "staleness_seconds": time.monotonic() - follower.confirmed_at,
            "generation": self._resolver.generation,
        }

    def _gauge(self, name: str, text: str, label: str, values: Mapping[str, float]) -> GaugeMetricFamily:
        family = GaugeMetricFamily(name, text, labels=["worker", label])
        for value, measured in values.items():
            family.add_metric([self._worker, value], measured)
        return family

    def _counter(self, name: str, text: str, label: str, values: dict[str, int]) -> CounterMetricFamily:
        family = CounterMetricFamily(name, text, labels=["worker", label])
        for value, count in values.items():
            family.add_metric([self._worker, value], count)
        return family

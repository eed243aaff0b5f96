"""What one edge worker counts, in Prometheus' text format. docs/metrics.md describes each."""

import time
from collections.abc import Iterator, Mapping

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from edge.local_cache import LocalCache
from edge.recorder import Recorder
from edge.redirect import Redirector
from edge.resolver import Resolver
from scanhop.spool import LossReason, SpoolWriter
from scanhop.wire.scan_record import Outcome


class EdgeMetrics(Collector):
    """Reads the worker's plain counters when it is asked; counting costs the redirect an integer addition."""

    def __init__(  # noqa: PLR0913 - the parts of a worker
        self,
        worker: int,
        redirector: Redirector,
        resolver: Resolver,
        cache: LocalCache,
        recorder: Recorder,
        spool: SpoolWriter,
    ) -> None:
        self._worker = str(worker)
        self._redirector = redirector
        self._resolver = resolver
        self._cache = cache
        self._recorder = recorder
        self._spool = spool
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def text(self) -> bytes:
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        spool = self._spool
        scans = {outcome.label: self._recorder.scans[outcome] for outcome in Outcome}
        yield self._counter("scanhop_edge_scans", "Scans answered.", "outcome", scans)
        lost = {reason.value: spool.lost[reason] for reason in LossReason}
        yield self._counter("scanhop_edge_lost_scans", "Scans that are not in the spool.", "reason", lost)
        sources = {source: self._resolver.sources[source] for source in self._resolver.SOURCES}
        yield self._counter("scanhop_edge_routes", "Routes looked up.", "source", sources)
        unresolvable = {"store_down": self._redirector.unresolvable}
        yield self._counter("scanhop_edge_unavailable", "Scans answered 503.", "reason", unresolvable)
        faults = {"fsync": spool.fsync_failures, "seal": spool.seal_failures}
        yield self._counter("scanhop_edge_spool_faults", "Spool files that were given up.", "call", faults)
        spooled = {"written": spool.written_records}
        yield self._counter("scanhop_edge_spooled_scans", "Scans written into the spool.", "state", spooled)
        known, unknown = self._cache.sizes()
        cached = {"known": known, "unknown": unknown}
        yield self._gauge("scanhop_edge_cached_codes", "Codes remembered.", "kind", cached)
        backlog = spool.read_backlog()
        age_s = 0.0 if backlog.oldest_at is None else max(0.0, time.time() - backlog.oldest_at)
        waiting = {"segments": backlog.segments, "bytes": backlog.bytes, "oldest_age_seconds": age_s}
        yield self._gauge("scanhop_edge_spool_waiting", "What ClickHouse has not accepted yet.", "what", waiting)

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

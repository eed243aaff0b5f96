"""What an ingest process shows of itself and of the spool, for Prometheus. docs/metrics.md describes each figure.

Served by a thread of its own, so that it answers while a segment is being enriched. Counters are read as they are;
the spool is looked at when it is asked. A spool that cannot be read leaves its figures out.
"""

from collections.abc import Iterator, Mapping
from itertools import accumulate
from pathlib import Path
from threading import Thread
from typing import Self
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from ingest.backlog import BacklogReader
from ingest.dead_letters import Kind, count_dead_letters
from ingest.figures import DELAY_BUCKETS_S, IngestFigures
from ingest.freezer import Freezer, SetAside
from ingest.insert_failures import FailureReason
from scanhop.settings import Bind


class IngestMetrics(Collector):
    """Of one collector's figures and its freezer's counts."""

    def __init__(self, root: Path, figures: IngestFigures, freezer: Freezer) -> None:
        self._figures = figures
        self._freezer = freezer
        self._root = root
        self._backlog = BacklogReader(root)

    def collect(self) -> Iterator[Metric]:
        figures = self._figures
        accepted = {what: figures.accepted[what] for what in ("batches", "rows", "scans")}
        yield _counter("scanhop_ingest_accepted", "What ClickHouse has accepted.", "what", accepted)
        retries = {reason.value: figures.retries[reason] for reason in FailureReason}
        yield _counter("scanhop_ingest_retries", "Inserts that failed and are sent again.", "reason", retries)
        set_aside = {reason.value: self._freezer.set_aside[reason] for reason in SetAside}
        yield _counter("scanhop_ingest_set_aside", "What became no row.", "reason", set_aside)
        yield self._delays()
        yield from self._steps()
        yield from self._spool()

    def _steps(self) -> Iterator[Metric]:
        steps, reasons = self._freezer.enrichment.figures, self._freezer.enrichment.reasons.copy()
        records = {step: float(figures.records) for step, figures in steps.items()}
        seconds = {step: figures.seconds for step, figures in steps.items()}
        yield _counter("scanhop_ingest_enrichment_records", "Records that a step has enriched.", "step", records)
        yield _counter("scanhop_ingest_enrichment_seconds", "CPU time spent in a step.", "step", seconds)
        found = CounterMetricFamily(
            "scanhop_ingest_enrichment_reasons", "What a step found unusual.", labels=["step", "reason"]
        )
        for (step, reason), count in reasons.items():
            found.add_metric([step, reason], count)
        yield found

    def _delays(self) -> HistogramMetricFamily:
        name, text = "scanhop_ingest_acceptance_delay_seconds", "From a batch's first scan to its acceptance."
        bounds = [*map(str, DELAY_BUCKETS_S), "+Inf"]
        buckets = list(zip(bounds, accumulate(self._figures.delays), strict=True))
        return HistogramMetricFamily(name, text, buckets=buckets, sum_value=self._figures.delays_sum_s)

    def _spool(self) -> Iterator[Metric]:
        try:
            backlog, letters = self._backlog.read(), count_dead_letters(self._root)
        except OSError:
            return
        waiting = {
            "segments": backlog.segments,
            "records": backlog.records,
            "bytes": backlog.bytes,
            "oldest_age_seconds": backlog.oldest_age_s,
        }
        yield _gauge("scanhop_ingest_backlog", "What ClickHouse has not accepted yet.", "what", waiting)
        found = {kind.value: letters[kind] for kind in Kind}
        yield _gauge("scanhop_ingest_dead_letters", "Files that `scanhop dead-letter list` shows.", "what", found)


class MetricsServer:
    """Serves until it is closed. Raises OSError when the address cannot be had."""

    def __init__(self, bind: Bind, metrics: IngestMetrics) -> None:
        registry = CollectorRegistry()
        registry.register(metrics)
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        self._server: WSGIServer
        self._thread: Thread
        self._server, self._thread = start_http_server(bind.port, bind.host, registry)

    @property
    def port(self) -> int:
        return self._server.server_port

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _counter(name: str, text: str, label: str, values: Mapping[str, float]) -> CounterMetricFamily:
    family = CounterMetricFamily(name, text, labels=[label])
    for value, count in values.items():
        family.add_metric([value], count)
    return family


def _gauge(name: str, text: str, label: str, values: Mapping[str, float]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, text, labels=[label])
    for value, measured in values.items():
        family.add_metric([value], measured)
    return family

"""What ingest shows of itself, of its real work."""

import errno
import socket
import subprocess
import sys
import time

import httpx
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from ingest.backlog import BacklogReader
from ingest.metrics import IngestMetrics, MetricsServer
from scanhop.settings import Bind
from tests.faulty_proxy import Fault
from tests.integration.ingest.collecting import take
from tests.integration.ingest.scans import SentScans
from tests.product import eventually
from tests.routes import new_route, write_scan

LOOPBACK = Bind(host="127.0.0.1", port=0)


@pytest.fixture
def figures(collector, spool_root):
    """What the metrics of the test's collector say: `figures(name, **labels)`."""
    registry = CollectorRegistry()
    registry.register(IngestMetrics(spool_root, collector.figures, collector.freezer))
    return registry.get_sample_value


async def test_accepted_batches_are_counted_with_their_rows_and_their_delay(collector, spool, figures):
    scans = SentScans(spool)
    scans.write_segment(5)
    scans.write_segment(4)
    await take(collector, 2)
    accepted = [figures("scanhop_ingest_accepted_total", {"what": what}) for what in ("batches", "rows", "scans")]
    assert accepted == [2, 9, sum(scans.counted.values())]
    assert figures("scanhop_ingest_acceptance_delay_seconds_count") == 2
    assert figures("scanhop_ingest_acceptance_delay_seconds_bucket", {"le": "+Inf"}) == 2
    assert figures("scanhop_ingest_acceptance_delay_seconds_sum") > 0


async def test_a_delay_counts_from_the_first_scan(collector, spool, figures, spool_root, monkeypatch):
    now = time.time_ns()
    monkeypatch.setattr(spool.clock, "now_ns", lambda: now - 45 * 10**9)
    write_scan(spool, new_route())
    monkeypatch.undo()
    write_scan(spool, new_route())
    spool.seal_if_due()
    await take(collector, 1)
    assert figures("scanhop_ingest_acceptance_delay_seconds_bucket", {"le": "30.0"}) == 0
    assert figures("scanhop_ingest_acceptance_delay_seconds_sum") >= 45


async def test_retries_are_counted_by_reason(new_collector, proxy, spool, spool_root):
    collector = new_collector(proxy.url)
    registry = CollectorRegistry()
    registry.register(IngestMetrics(spool_root, collector.figures, collector.freezer))
    SentScans(spool).write_segment()
    proxy.plan([Fault.ERROR_503, Fault.DROP_THE_ANSWER_AFTER])
    await take(collector, 1)
    retries = {
        reason: registry.get_sample_value("scanhop_ingest_retries_total", {"reason": reason})
        for reason in ("overloaded", "interrupted", "timed_out")
    }
    assert retries == {"overloaded": 1, "interrupted": 1, "timed_out": 0}


async def test_the_backlog_and_dead_letters_are_shown(collector, spool, figures):
    SentScans(spool).write_segment(3)
    assert figures("scanhop_ingest_backlog", {"what": "records"}) == 3
    spool.append(b"no record", at_ns=spool.now_ns())
    spool.flush()
    spool.seal_if_due()
    await take(collector, 2)
    assert figures("scanhop_ingest_backlog", {"what": "records"}) == 0
    assert figures("scanhop_ingest_backlog", {"what": "oldest_age_seconds"}) == 0
    assert figures("scanhop_ingest_dead_letters", {"what": "rejected"}) == 1
    assert figures("scanhop_ingest_dead_letters", {"what": "parked"}) == 0
    assert figures("scanhop_ingest_set_aside_total", {"reason": "malformed"}) == 1


async def test_steps_are_shown_with_their_records_seconds_and_what_they_found(collector, spool, figures):
    for _ in range(3):
        write_scan(spool, new_route(), peer=b"")
    spool.seal_if_due()
    await take(collector, 1)
    assert figures("scanhop_ingest_enrichment_records_total", {"step": "device"}) == 3
    assert figures("scanhop_ingest_enrichment_seconds_total", {"step": "device"}) > 0
    assert figures("scanhop_ingest_enrichment_reasons_total", {"step": "client", "reason": "no_address"}) == 3


def test_a_spool_that_cannot_be_read_leaves_the_other_figures(figures, monkeypatch):
    def refuse(self: BacklogReader) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(BacklogReader, "read", refuse)
    assert figures("scanhop_ingest_backlog", {"what": "records"}) is None
    assert figures("scanhop_ingest_accepted_total", {"what": "rows"}) == 0


def test_the_server_answers_prometheus_and_ends(collector, spool_root):
    metrics = IngestMetrics(spool_root, collector.figures, collector.freezer)
    with MetricsServer(LOOPBACK, metrics) as server:
        url = f"http://127.0.0.1:{server.port}/metrics"
        families = {family.name for family in text_string_to_metric_families(httpx.get(url).text)}
        assert {"scanhop_ingest_backlog", "process_resident_memory_bytes"} <= families
    with pytest.raises(httpx.ConnectError):
        httpx.get(url)


def ingest(settings, bind: str) -> "subprocess.Popen[str]":
    env = {
        "SCANHOP_POSTGRES_DSN": settings.postgres_dsn,
        "SCANHOP_CLICKHOUSE_URL": settings.clickhouse_url,
        "SCANHOP_SPOOL_DIR": str(settings.spool_root),
        "SCANHOP_INGEST_METRICS_BIND": bind,
    }
    return subprocess.Popen([sys.executable, "-m", "scanhop", "ingest"], env=env, stderr=subprocess.PIPE, text=True)


def test_the_process_serves_its_metrics_where_it_is_told(settings, spool):
    SentScans(spool).write_segment(5)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with ingest(settings, f"127.0.0.1:{port}") as process:
        try:
            eventually(lambda: 'scanhop_ingest_accepted_total{what="rows"} 5.0' in _page(port), 60)
        finally:
            process.terminate()
        assert process.wait(30) == 0


def _page(port: int) -> str:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/metrics").text
    except httpx.TransportError:
        return ""


def test_a_port_in_use_is_told(settings):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        bind = f"127.0.0.1:{taken.getsockname()[1]}"
        with ingest(settings, bind) as process:
            assert process.wait(60) == 1
            told = process.stderr.read()
    assert f"scanhop: ingest cannot show its metrics on {bind}: Address already in use" in told
    assert "Traceback" not in told

"""ClickHouse is stopped while scans flow, and started again: the backlog goes while new scans come."""

import time
from collections.abc import Iterator

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from scanhop.devstack.ports import reserve_port
from tests.faults.engines import Engines
from tests.faults.phones import Phones, check_crash_rule, new_codes
from tests.product import Product, eventually

CAUGHT_UP_AGE_S = 3


@pytest.fixture(scope="module")
def running(tmp_path_factory) -> Iterator[tuple[Engines, Product, str]]:
    """With the address of ingest's metrics."""
    folder = tmp_path_factory.mktemp("backlog")
    port = reserve_port()
    bind = f"127.0.0.1:{port.number}"
    port.release()
    with Engines(folder / "engines") as engines:
        settings = {**engines.settings, "SCANHOP_LOG_LEVEL": "warning", "SCANHOP_INGEST_METRICS_BIND": bind}
        with Product(folder / "data", settings) as product:
            yield engines, product, f"http://{bind}/metrics"


def ingest_figure(url: str, metric: str, label: str) -> float:
    samples = [sample for family in text_string_to_metric_families(httpx.get(url).text) for sample in family.samples]
    return next(sample.value for sample in samples if sample.name == metric and label in sample.labels.values())


@pytest.mark.parametrize(
    ("down_s", "scans_a_second"),
    [(15, 200), pytest.param(600, 2000, marks=[pytest.mark.soak, pytest.mark.timeout(1800)])],
)
def test_what_waited_for_clickhouse_is_caught_up_while_new_scans_flow(running, down_s, scans_a_second):
    engines, product, metrics = running
    retries = ingest_figure(metrics, "scanhop_ingest_retries_total", "unreachable")
    codes = new_codes(product, f"backlog-{down_s}@example.com", 4)
    with Phones(codes, threads=4, requests_a_second=scans_a_second) as phones:
        phones.wait_for(100)
        engines.clickhouse.kill()
        time.sleep(down_s)
        assert ingest_figure(metrics, "scanhop_ingest_backlog", "oldest_age_seconds") > down_s - CAUGHT_UP_AGE_S
        waited = ingest_figure(metrics, "scanhop_ingest_backlog", "records")
        assert waited > down_s * scans_a_second / 2
        assert ingest_figure(metrics, "scanhop_ingest_retries_total", "unreachable") > retries
        engines.clickhouse.bring_back()
        eventually(lambda: _is_caught_up(metrics), down_s + 60)
        phones.wait_for(100)
    check_crash_rule(product, phones)
    eventually(lambda: ingest_figure(metrics, "scanhop_ingest_backlog", "records") == 0)
    assert ingest_figure(metrics, "scanhop_ingest_accepted_total", "rows") >= waited
    assert ingest_figure(metrics, "scanhop_ingest_dead_letters", "parked") == 0


def _is_caught_up(metrics: str) -> bool:
    return ingest_figure(metrics, "scanhop_ingest_backlog", "oldest_age_seconds") < CAUGHT_UP_AGE_S

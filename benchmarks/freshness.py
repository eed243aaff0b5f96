"""How soon a scan shows in the analytics, and how soon an edit is served by every edge worker.

Runs the whole product (`scanhop up`) with two edge workers on loopback. Prints each figure beside its bound and
writes them to benchmarks/results/freshness.json. An edit's time runs from its PATCH, and once more from the answer
to it, until the last of the phones, each on a connection of its own and together on all workers, was sent to the new
target.

Under load, phones in a process of their own scan at a constant rate; a scan's time runs from the moment it was due
until a query sees its row, asked for every 50 ms; every scan must become one row. Beside it stands the same with ten
scans a second. Wall-clock figures on a shared machine are indications.
"""

import json
import os
import platform
import re
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path

import clickhouse_connect
import httpx
from clickhouse_connect.driver import Client

from benchmarks.steady_phones import SteadyPhones
from tests.product import Product

SCANS, EDITS, PHONES, WORKERS = 60, 300, 8, 2
LOAD_A_SECOND, LOAD_S, IDLE_A_SECOND = 2000, 30, 10
QUERY_EVERY_S, PATIENCE_S = 0.05, 60
NEW_ROWS = """
    SELECT toString(batch_id), groupArray(referer) FROM qr_scan_events
    WHERE startsWith(referer, {prefix:String}) AND toString(batch_id) NOT IN {seen:Array(String)}
    GROUP BY batch_id"""
RESULTS = Path(__file__).parent / "results" / "freshness.json"


def main() -> None:
    settings = {"SCANHOP_LOG_LEVEL": "warning", "SCANHOP_EDGE_WORKERS": str(WORKERS)}
    with tempfile.TemporaryDirectory() as folder, Product(Path(folder) / "data", settings) as product:
        figures = measure(product)
    for name, figure in figures.items():
        print(f"{name:<40} {figure['measured']:>10} {figure['unit']:<3} bound {figure['bound']}")
    RESULTS.write_text(json.dumps({"about": about(), "figures": figures}, indent=2) + "\n")


def measure(product: Product) -> dict[str, dict[str, object]]:
    with product.api(product.new_account("bench@example.com")) as api, ExitStack() as stack:
        phones = phones_on_every_worker(product, stack)
        visible = [scan_to_analytics(api, phones[0]) for _ in range(SCANS)]
        edits = [edit_to_edge(api, phones, number) for number in range(EDITS)]
        codes = [new_code(api)["short_url"] for _ in range(100)]
    sent, edited = zip(*edits, strict=True)
    idle, loaded = (scans_to_rows(product, codes, rate) for rate in (IDLE_A_SECOND, LOAD_A_SECOND))
    return {
        "scan to analytics, median": figure(1000 * statistics.median(visible), "ms", None),
        "scan to analytics, slowest": figure(1000 * max(visible), "ms", 2000),
        f"scan to row, {IDLE_A_SECOND} a second, p99": figure(percentile_ms(idle, 99), "ms", 2000),
        f"scan to row, {LOAD_A_SECOND} a second, median": figure(percentile_ms(loaded, 50), "ms", None),
        f"scan to row, {LOAD_A_SECOND} a second, p99": figure(percentile_ms(loaded, 99), "ms", 2000),
        f"scan to row, {LOAD_A_SECOND} a second, slowest": figure(1000 * max(loaded), "ms", None),
        "edit, sent, to every worker, median": figure(1000 * statistics.median(sent), "ms", None),
        "edit, sent, to every worker, p99": figure(percentile_ms(sent, 99), "ms", 100),
        "edit to every worker, median": figure(1000 * statistics.median(edited), "ms", None),
        "edit to every worker, p99": figure(percentile_ms(edited, 99), "ms", 100),
        "edit to every worker, slowest": figure(1000 * max(edited), "ms", None),
    }


def scans_to_rows(product: Product, codes: list[str], rate: int) -> list[float]:
    """Seconds from when each scan was due until its row was seen."""
    prefix = f"https://{rate}.example/"
    with ThreadPoolExecutor(1) as pool, ProcessPoolExecutor(1, mp_context=get_context("spawn")) as processes:
        watching = pool.submit(watch_rows, product, prefix, rate * LOAD_S)
        processes.submit(SteadyPhones(product.edge_url, codes, rate, LOAD_S, prefix, min(32, rate)).run).result()
        return watching.result()


def watch_rows(product: Product, prefix: str, wanted: int) -> list[float]:
    """Raises TimeoutError when they do not all come, RuntimeError when there are more than were sent."""
    client = clickhouse_connect.get_client(dsn=product.variables()["SCANHOP_CLICKHOUSE_URL"])
    seen: set[str] = set()
    waits: list[float] = []
    deadline = time.monotonic() + LOAD_S + PATIENCE_S
    while len(waits) < wanted:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{len(waits)} of {wanted} rows came")
        waits += new_waits(client, prefix, seen)
        time.sleep(QUERY_EVERY_S)
    if len(waits) > wanted:
        raise RuntimeError(f"{len(waits)} rows for {wanted} scans")
    client.close()
    return waits


def new_waits(client: Client, prefix: str, seen: set[str]) -> list[float]:
    """Of the rows in batches that were not there before."""
    rows = client.query(NEW_ROWS, parameters={"prefix": prefix, "seen": sorted(seen)}).result_rows
    now = time.time_ns()
    seen.update(batch for batch, _ in rows)
    due = (int(referer.removeprefix(prefix).split("/")[0]) for _, referers in rows for referer in referers)
    return [(now - at) / 1e9 for at in due]


def percentile_ms(seconds: Sequence[float], percent: int) -> float:
    return 1000 * statistics.quantiles(seconds, n=100)[percent - 1]


def phones_on_every_worker(product: Product, stack: ExitStack) -> list[httpx.Client]:
    """Each keeps one connection, so each stays with the worker that took it."""
    phones = [stack.enter_context(httpx.Client(base_url=product.edge_url)) for _ in range(PHONES)]
    for phone in phones:
        phone.get("/r/nothing-here")
    asked = re.findall(r'^scanhop_edge_scans_total{outcome="unknown",worker="(\d+)"} [1-9]', metrics(product), re.M)
    if len(asked) == WORKERS:
        return phones
    return phones_on_every_worker(product, stack)


def metrics(product: Product) -> str:
    return httpx.get(f"{product.edge_url}/metrics").text


def figure(measured: float, unit: str, bound: int | None) -> dict[str, object]:
    return {"measured": round(measured, 1), "unit": unit, "bound": bound}


def new_code(api: httpx.Client) -> dict[str, str]:
    body = {"name": "bench", "type": "url", "target_url": "https://example.com/"}
    return dict(api.post("/v1/qr-codes", json=body).json())


def scan_to_analytics(api: httpx.Client, phone: httpx.Client) -> float:
    code = new_code(api)
    phone.get(code["short_url"])
    path = f"/v1/qr-codes/{code['id']}/analytics"
    return seconds_until(lambda: api.get(path).json()["total_scans"] == 1)


def edit_to_edge(api: httpx.Client, phones: list[httpx.Client], number: int) -> tuple[float, float]:
    """From the PATCH, and from its answer. The code is remembered by every worker before it is edited."""
    code, target = new_code(api), f"https://example.com/{number}"
    for phone in phones:
        phone.get(code["short_url"])
    sent = time.monotonic()
    api.patch(f"/v1/qr-codes/{code['id']}", json={"target_url": target}).raise_for_status()
    answered = time.monotonic()
    seconds_until(lambda: all(phone.get(code["short_url"]).headers["location"] == target for phone in phones))
    seen = time.monotonic()
    return seen - sent, seen - answered


def seconds_until(probe: Callable[[], bool]) -> float:
    started = time.monotonic()
    while not probe():
        if time.monotonic() - started > 30:
            raise TimeoutError
        time.sleep(0.001)
    return time.monotonic() - started


def about() -> dict[str, object]:
    packages = ("uvicorn", "starlette", "uvloop", "asyncpg", "redis", "clickhouse-connect")
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}",
        "versions": {name: version(name) for name in packages},
    }


if __name__ == "__main__":
    main()

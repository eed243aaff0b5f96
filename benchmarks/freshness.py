"""How soon a scan shows in the analytics, how soon an edit reaches the edge, and what a redirect costs in CPU.

Runs the whole product (`scanhop up`) on loopback. Prints each figure beside its bound and writes them to
benchmarks/results/freshness.json. Wall-clock figures on a shared machine are indications; the CPU figure is of the
edge's process tree (user + system), with a client that keeps its connections open.
"""

import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import httpx

from tests.product import Product

SCANS, EDITS, REQUESTS, PHONES = 60, 40, 4000, 16
RESULTS = Path(__file__).parent / "results" / "freshness.json"


def main() -> None:
    quiet = {"SCANHOP_LOG_LEVEL": "warning"}
    with tempfile.TemporaryDirectory() as folder, Product(Path(folder) / "data", quiet) as product:
        figures = measure(product)
    for name, figure in figures.items():
        print(f"{name:<40} {figure['measured']:>10} {figure['unit']:<3} bound {figure['bound']}")
    RESULTS.write_text(json.dumps({"about": about(), "figures": figures}, indent=2) + "\n")


def measure(product: Product) -> dict[str, dict[str, object]]:
    with product.api(product.new_account("bench@example.com")) as api, httpx.Client() as phone:
        visible = [scan_to_analytics(api, phone) for _ in range(SCANS)]
        edited = [edit_to_edge(api, phone, number) for number in range(EDITS)]
        cpu = cpu_per_redirect(product, new_code(api)["short_url"])
    return {
        "scan to analytics, median": figure(1000 * statistics.median(visible), "ms", None),
        "scan to analytics, slowest": figure(1000 * max(visible), "ms", 2000),
        "edit to edge, median": figure(1000 * statistics.median(edited), "ms", None),
        "edit to edge, slowest": figure(1000 * max(edited), "ms", 1000),
        "edge CPU per redirect": figure(1_000_000 * cpu, "us", None),
    }


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


def edit_to_edge(api: httpx.Client, phone: httpx.Client, number: int) -> float:
    code, target = new_code(api), f"https://example.com/{number}"
    phone.get(code["short_url"])
    api.patch(f"/v1/qr-codes/{code['id']}", json={"target_url": target})
    return seconds_until(lambda: phone.get(code["short_url"]).headers["location"] == target)


def seconds_until(probe: Callable[[], bool]) -> float:
    started = time.monotonic()
    while not probe():
        if time.monotonic() - started > 30:
            raise TimeoutError
        time.sleep(0.005)
    return time.monotonic() - started


def cpu_per_redirect(product: Product, url: str) -> float:
    def scan(phone: httpx.Client) -> None:
        for _ in range(REQUESTS // PHONES):
            phone.get(url)

    edge = product.pids("edge", "--worker")
    phones = [httpx.Client() for _ in range(PHONES)]
    before = cpu_seconds(edge)
    with ThreadPoolExecutor(PHONES) as pool:
        list(pool.map(scan, phones))
    used = cpu_seconds(edge) - before
    for phone in phones:
        phone.close()
    return used / REQUESTS


def cpu_seconds(pids: list[int]) -> float:
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


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

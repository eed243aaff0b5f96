"""What calls of the control API cost in a workspace of CODES codes.

Starts the engines and `scanhop api` as a process, fills one workspace by bulk calls, then calls each route CALLS
times, one after the other over one connection, in ROUNDS rounds whose order of routes is turned. For each route it
prints the wall time (median and 99th percentile), the CPU of the API process, and how many statements it sends to
Postgres (the same application, asked in this process, BEGIN and COMMIT aside). A path that does not exist is the
floor: what the frame around every route costs; its 404 aside, any answer but a success ends the program. Before the
calls Postgres analyses its tables and writes its checkpoint, as it would some minutes after a fill. Writes
benchmarks/results/api.json.
"""

import asyncio
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

import asyncpg
import httpx
from rich.console import Console
from rich.table import Table

from benchmarks.machine.description import describe_machine
from benchmarks.machine.process_tree import read_cpu
from control_api.app import build_app
from control_api.settings import ApiSettings
from scanhop.devstack import EmbeddedStack, StackAddresses
from scanhop.devstack.ports import reserve_port
from scanhop.stores.migrations import migrate
from scanhop.telemetry.logs import configure_logs
from tests.integration.control_api.statement_count import counted_statements

CODES = int(os.environ.get("CODES", "100000"))
CALLS = int(os.environ.get("CALLS", "60"))
ROUNDS = int(os.environ.get("ROUNDS", "5"))
BULK = 1000
ADMIN_KEY = "the-key-of-the-benchmark"
TARGET = "https://example.com/menu"
FLOOR = "a path that does not exist"
READY_WITHIN_S = 30
RESULTS = Path(__file__).parent / "results" / "api.json"

Call = Callable[[], httpx.Request]


def main() -> None:
    configure_logs("benchmark", "warning")
    with tempfile.TemporaryDirectory(prefix="scanhop-api-") as name:
        folder = Path(name)
        with EmbeddedStack(folder) as stack:
            addresses = stack.addresses
            asyncio.run(migrate(str(addresses.postgres_dsn), str(addresses.clickhouse_url)))
            with running_api(folder, addresses) as (pid, client):
                key = new_workspace(client)
                fill(client, key)
                asyncio.run(settle(str(addresses.postgres_dsn)))
                calls = list_calls(client, key)
                figures = measure(client, calls, pid)
            counts = asyncio.run(count_statements(addresses, calls))
    rows = {name: figures[name] | {"statements": counts[name]} for name in calls}
    show(rows)
    about = describe_machine(("scanhop", "fastapi", "uvicorn", "asyncpg"))
    result = {"about": about, "codes": CODES, "calls": CALLS * ROUNDS, "routes": rows}
    RESULTS.write_text(json.dumps(result, indent=2) + "\n")


@contextmanager
def running_api(folder: Path, addresses: StackAddresses) -> Iterator[tuple[int, httpx.Client]]:
    """Its process id and a client of it."""
    port = reserve_port()
    port.release()
    address = f"127.0.0.1:{port.number}"
    env = os.environ | {
        "SCANHOP_POSTGRES_DSN": str(addresses.postgres_dsn),
        "SCANHOP_REDIS_URL": str(addresses.redis_url),
        "SCANHOP_CLICKHOUSE_URL": str(addresses.clickhouse_url),
        "SCANHOP_API_BIND": address,
        "SCANHOP_ADMIN_KEY": ADMIN_KEY,
        "SCANHOP_API_RATE_PER_SECOND": "100000",
        "SCANHOP_API_RATE_BURST": "100000",
        "SCANHOP_LOG_LEVEL": "warning",
        "SCANHOP_DATA_DIR": str(folder / "data"),
    }
    process = subprocess.Popen([sys.executable, "-m", "scanhop", "api"], env=env)
    try:
        with httpx.Client(base_url=f"http://{address}", timeout=60) as client:
            wait_until_ready(client)
            yield process.pid, client
    finally:
        process.terminate()
        process.wait()


def wait_until_ready(client: httpx.Client) -> None:
    deadline = time.monotonic() + READY_WITHIN_S
    while True:
        try:
            client.get("/").raise_for_status()
        except httpx.TransportError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return


def new_workspace(client: httpx.Client) -> str:
    """Its key."""
    answer = client.post("/v1/admin/users", headers={"X-API-Key": ADMIN_KEY}, json={"email": "bench@example.com"})
    key: str = answer.raise_for_status().json()["api_key"]
    return key


def fill(client: httpx.Client, key: str) -> None:
    for first in range(0, CODES, BULK):
        items = [
            {"name": f"Code {number}", "target_url": f"{TARGET}/{number}", "tags": [f"t{number % 50}"]}
            for number in range(first, min(first + BULK, CODES))
        ]
        answer = client.post("/v1/qr-codes/bulk", headers={"X-API-Key": key}, json={"items": items})
        if answer.raise_for_status().json()["failed"]:
            raise RuntimeError(f"codes were refused: {answer.text[:500]}")


async def settle(dsn: str) -> None:
    """Else the fill is still being worked off while the first calls are timed, whose plans would know of no codes."""
    connection = await asyncpg.connect(dsn)
    await connection.execute("VACUUM ANALYZE")
    await connection.execute("CHECKPOINT")
    await connection.close()


def list_calls(client: httpx.Client, key: str) -> dict[str, Call]:
    """By route; each call is a request of its own."""
    numbers = itertools.count()
    page = client.get("/v1/qr-codes?limit=200", headers={"X-API-Key": key}).raise_for_status().json()
    ids = itertools.cycle([code["id"] for code in page["data"]])

    def ask(method: str, path: str, json: Any = None) -> httpx.Request:
        return client.build_request(method, path, headers={"X-API-Key": key}, json=json)

    return {
        FLOOR: lambda: ask("GET", "/v1/nothing"),
        "create": lambda: ask("POST", "/v1/qr-codes", {"name": "New", "target_url": TARGET}),
        "get": lambda: ask("GET", f"/v1/qr-codes/{next(ids)}"),
        "list 50": lambda: ask("GET", "/v1/qr-codes?limit=50"),
        "list 50, second page": lambda: ask("GET", f"/v1/qr-codes?limit=50&cursor={page['next_cursor']}"),
        "list 50 of a tag": lambda: ask("GET", "/v1/qr-codes?limit=50&tags=t7"),
        "list 50 by name": lambda: ask("GET", "/v1/qr-codes?limit=50&sort=name&order=asc"),
        "list 50 that hold a text": lambda: ask("GET", "/v1/qr-codes?limit=50&search=menu/9999"),
        "patch": lambda: ask("PATCH", f"/v1/qr-codes/{next(ids)}", {"name": f"Name {next(numbers)}"}),
    }


def measure(client: httpx.Client, calls: dict[str, Call], pid: int) -> dict[str, dict[str, float]]:
    waits: dict[str, list[float]] = {name: [] for name in calls}
    cpu: dict[str, list[float]] = {name: [] for name in calls}
    names = list(calls)
    for name in names:
        check(name, client.send(calls[name]()))
    for turn in range(ROUNDS):
        for name in names[turn:] + names[:turn]:
            before = read_cpu(pid)
            for _ in range(CALLS):
                began = time.perf_counter()
                answer = client.send(calls[name]())
                waits[name].append((time.perf_counter() - began) * 1e3)
                check(name, answer)
            cpu[name].append(read_cpu(pid).since(before) / CALLS / 1e6)
    return {
        name: {
            "p50_ms": round(statistics.median(waits[name]), 2),
            "p99_ms": round(statistics.quantiles(waits[name], n=100)[98], 2),
            "cpu_ms": round(statistics.median(cpu[name]), 2),
        }
        for name in calls
    }


def check(name: str, answer: httpx.Response) -> None:
    """Raises RuntimeError."""
    if not (answer.status_code == HTTPStatus.NOT_FOUND if name == FLOOR else answer.is_success):
        raise RuntimeError(f"{name}: {answer.status_code} {answer.text[:500]}")


async def count_statements(addresses: StackAddresses, calls: dict[str, Call]) -> dict[str, int]:
    """The second call's: the first one opens connections, and notes that the key was used."""
    app = build_app(
        ApiSettings(
            str(addresses.postgres_dsn),
            str(addresses.redis_url),
            str(addresses.clickhouse_url),
            "https://qr.example",
            ADMIN_KEY,
        )
    )
    counts = {}
    transport = httpx.ASGITransport(app)
    async with app.router.lifespan_context(app), httpx.AsyncClient(transport=transport) as client:
        for name, call in calls.items():
            for _ in range(2):
                with counted_statements() as sent:
                    check(name, await client.send(call()))
            counts[name] = len(sent)
    return counts


def show(rows: dict[str, dict[str, float]]) -> None:
    table = Table("call", "p50 ms", "p99 ms", "CPU ms of the API", "statements", title=f"{CODES:,} codes")
    for name, row in rows.items():
        table.add_row(name, *(f"{row[each]:g}" for each in ("p50_ms", "p99_ms", "cpu_ms", "statements")))
    Console(width=110).print(table)


if __name__ == "__main__":
    main()

"""How long an account's dashboard and the platform's overview take, over ROWS scans of a year.

Generates scans inside an embedded ClickHouse: thousands of workspaces by Zipf's law, their codes skewed alike, spread
over a year; some of the workspaces, from the largest to small ones, are accounts of the API. Then asks the API (the
real application, in this process) for each account's dashboard of the last 30 days: series by day, countries, devices
and top codes, all four at once as a page would; the same of a period that does not begin at a midnight of UTC, as the
default one does not, so that a part of its first day comes from raw scans; of a year; with bots, so that all of it
comes from raw scans; and the platform's overview. An answer that is no success ends the program. With POSTGRES=1 the
same rows go into a Postgres table with a covering index, and plain SQL asks for the same figures, the four at once on
four connections. Postgres is spared what the API does besides: HTTP, the key, the workspace's zone, JSON.

Prints and writes benchmarks/results/analytics.json: one entry for each number of rows. What has a bound is held
against it, at every number of rows; one that is missed is printed as MISSED and changes nothing else. Wall clock on a
shared machine is an indication: beside it stands the CPU that ClickHouse spent. The data lie in a temporary folder,
below TMPDIR.
"""

import asyncio
import json
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import clickhouse_connect
import httpx

from benchmarks.machine.description import describe_machine
from benchmarks.machine.process_tree import cpu_seconds
from control_api.app import build_app
from control_api.settings import ApiSettings
from scanhop.devstack import EmbeddedStack, StackAddresses
from scanhop.stores.migrations import migrate
from scanhop.telemetry.logs import configure_logs

ROWS = int(os.environ.get("ROWS", "10000000"))
ROUNDS = int(os.environ.get("ROUNDS", "5"))
WITH_POSTGRES = os.environ.get("POSTGRES") == "1"
STEP = 1_000_000
WORKSPACES = 3000
RANKS = (1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 233, 377, 610, 987, 1597, 2584)  # of the accounts that are asked
END = datetime(2026, 11, 1, tzinfo=UTC)
YEAR = timedelta(days=365)
MAPPED_DAYS = 35
BYTES_A_ROW = 130
ADMIN = {"X-API-Key": "benchmark"}
RESULTS = Path(__file__).parent / "results" / "analytics.json"
BOUNDS_P95_MS = {
    "dashboard of 30 days": 100,
    "dashboard of 30 days, the largest account": 100,
    "dashboard of 30 days, off midnight": 100,
    "platform overview": 300,
}

FILL = """
INSERT INTO qr_scan_events
    (event_id, batch_id, workspace_id, qr_id, scanned_at, received_at, outcome, is_bot, visitor, ip, country, region,
     city, language, device_type, os, browser, user_agent, referer, short_code)
WITH cityHash64(number, 1) AS h1, cityHash64(number, 2) AS h2,
     cityHash64(number, 3) AS h3, cityHash64(number, 4) AS h4,
     toUInt64(floor(exp((h1 % 1000000007) / 1000000007 * log({workspaces:UInt32} + 1)))) AS rank,
     1 + intDiv(30000, 10 + rank) AS codes,
     toUInt64(floor(codes * pow((h2 % 1000003) / 1000003, 3))) AS code,
     toUInt64(floor(exp((h3 % 1000003) / 1000003 * log(40)))) AS place,
     h4 % 100 AS phone
SELECT generateUUIDv4(), reinterpretAsUUID(toUInt128(intDiv(number, 50000))),
       if(has({ranks:Array(UInt64)}, rank), {ids:Array(UUID)}[indexOf({ranks:Array(UInt64)}, rank)],
          reinterpretAsUUID(toUInt128(rank))),
       reinterpretAsUUID(toUInt128(rank * 1000000 + code)),
       fromUnixTimestamp64Milli(toInt64({start_ms:Int64} + (h1 + h2 + h3) % {span_ms:Int64}), 'UTC') AS at,
       at, if(h2 % 50 = 0, 'expired', 'redirect'), h3 % 20 = 0, cityHash64(intDiv(h2, 7) % 3000000),
       concat(toString(h1 % 200), '.', toString(h2 % 250), '.', toString(h3 % 250), '.0'),
       concat(char(65 + place % 26), char(65 + intDiv(place * 7, 3) % 26)), toString(place % 16),
       concat('City ', toString(place * 100 + h4 % 30)), ['de', 'en', 'fr', 'es', 'it'][1 + h2 % 5],
       multiIf(phone < 85, 'mobile', phone < 92, 'tablet', 'desktop'),
       multiIf(phone < 45, 'iOS', phone < 90, 'Android', 'Windows'),
       multiIf(phone < 45, 'Mobile Safari', phone < 80, 'Chrome Mobile', phone < 90, 'Samsung Internet', 'Chrome'),
       concat('Mozilla/5.0 (phone ', toString(h4 % 20000), ')'),
       if(h4 % 10 = 0, concat('https://site', toString(h3 % 50), '.example/'), ''), toString(code)
FROM numbers({first:UInt64}, {count:UInt64})
"""
ROLLED_UP = """
WHERE scanned_at >= fromUnixTimestamp64Milli({start_ms:Int64}, 'UTC')
  AND scanned_at < fromUnixTimestamp64Milli({end_ms:Int64}, 'UTC')
GROUP BY workspace_id, qr_id, date
"""
COPIED = (
    "workspace_id",
    "qr_id",
    "scanned_at",
    "outcome",
    "is_bot",
    "visitor",
    "country",
    "region",
    "city",
    "device_type",
    "os",
    "browser",
    "user_agent",
    "referer",
)
TABLE = """CREATE TABLE scans (workspace_id uuid, qr_id uuid, scanned_at timestamptz, outcome text, is_bot bool,
    visitor numeric(20), country text, region text, city text, device_type text, os text, browser text,
    user_agent text, referer text)"""
INDEX = """CREATE INDEX ON scans (workspace_id, scanned_at) INCLUDE (qr_id, visitor, country, device_type)
    WHERE outcome = 'redirect' AND NOT is_bot"""
_OURS = "workspace_id = $1 AND scanned_at >= $2 AND scanned_at < $3 AND outcome = 'redirect' AND NOT is_bot"
IN_POSTGRES = [
    f"""SELECT day, count(*), count(DISTINCT (day, visitor)) FILTER (WHERE visitor != 0)
        FROM (SELECT date_trunc('day', scanned_at, 'UTC') AS day, visitor FROM scans WHERE {_OURS}) AS ours
        GROUP BY GROUPING SETS ((day), ())""",  # noqa: S608
    *(
        f"""SELECT {column}, count(*), sum(count(*)) OVER () FROM scans WHERE {_OURS}
        GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT {limit}"""  # noqa: S608
        for column, limit in (("country", 50), ("device_type", 50), ("qr_id", 10))
    ),
]


class NotEnoughDisk(Exception):
    """The message says how much is needed."""


def main() -> None:
    configure_logs("benchmark", "warning")
    with tempfile.TemporaryDirectory(prefix="scanhop-analytics-") as name:
        folder = Path(name)
        require_disk(folder)
        with EmbeddedStack(folder) as stack:
            pid = int((folder / "clickhouse" / "front.pid").read_text())
            entry = asyncio.run(measure(stack.addresses, pid))
    write(entry)


def require_disk(folder: Path) -> None:
    """Raises NotEnoughDisk: merges need as much again, and Postgres three times as much."""
    needed = ROWS * BYTES_A_ROW * (5 if WITH_POSTGRES else 2)
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise NotEnoughDisk(f"{needed / 2**30:.0f} GiB are needed, {free / 2**30:.0f} GiB are free")


async def measure(stack: StackAddresses, pid: int) -> dict[str, Any]:
    await migrate(str(stack.postgres_dsn), str(stack.clickhouse_url))
    settings = ApiSettings(
        str(stack.postgres_dsn),
        str(stack.redis_url),
        str(stack.clickhouse_url),
        "https://qr.example",
        ADMIN["X-API-Key"],
    )
    app = build_app(settings, clock=lambda: END)
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://api", timeout=60) as api,
    ):
        accounts = [await new_account(api, rank) for rank in RANKS]
        client = clickhouse_connect.get_client(dsn=str(stack.clickhouse_url), send_receive_timeout=3600)
        sizes = fill(client, [UUID(workspace_id) for workspace_id, _ in accounts])
        figures = await ask_api(api, accounts, pid)
        figures["largest account, scans"] = sizes.pop("largest")
        if WITH_POSTGRES:
            figures |= await ask_postgres(str(stack.postgres_dsn), client, accounts)
    return {"rows": ROWS, "rounds": ROUNDS, "accounts": len(RANKS), "bytes": sizes, "figures": figures}


async def new_account(api: httpx.AsyncClient, rank: int) -> tuple[str, str]:
    """(workspace, key)"""
    body = {"email": f"rank{rank}-{time.time_ns()}@example.com"}
    answer = (await api.post("/v1/admin/users", headers=ADMIN, json=body)).raise_for_status().json()
    return answer["workspace"]["id"], answer["api_key"]


def fill(client: Any, ids: list[UUID]) -> dict[str, int]:
    """Bytes by table, and how many scans the largest account has."""
    client.command("DETACH TABLE daily_aggregates_mv")
    span = YEAR / max(1, ROWS // STEP)
    started = time.monotonic()
    for number in range(max(1, ROWS // STEP)):
        first = END - YEAR + number * span
        client.command(
            FILL,
            parameters={
                "workspaces": WORKSPACES,
                "ranks": list(RANKS),
                "ids": ids,
                "start_ms": int(first.timestamp() * 1000),
                "span_ms": int(span.total_seconds() * 1000),
                "first": number * STEP,
                "count": min(STEP, ROWS),
            },
        )
        print(f"\r{number + 1} million scans, {time.monotonic() - started:.0f} s", end="", flush=True)
    print()
    roll_up(client)
    sizes = """SELECT table, sum(bytes_on_disk) FROM system.parts
        WHERE active AND database = currentDatabase() GROUP BY table"""
    largest = "SELECT count() FROM qr_scan_events WHERE workspace_id = {id:UUID}"
    scans = client.query(largest, parameters={"id": str(ids[0])}).result_rows[0][0]
    return {**dict(client.query(sizes).result_rows), "largest": scans}


def roll_up(client: Any) -> None:
    """As the materialized view would, but cheaper: maps for the last MAPPED_DAYS only, which is what is asked for."""
    text = (files("scanhop.migrations") / "clickhouse" / "0001_scans.sql").read_text()
    view = text.partition("daily_aggregates_mv TO daily_aggregates AS")[2].partition("GROUP BY")[0]
    counts = view.partition("sumMapIf")[0].rstrip().rstrip(",") + "\nFROM qr_scan_events"
    columns = "(workspace_id, qr_id, date, events, scans)"
    for days in range(365, 0, -5):
        first, last = (END - timedelta(days=days), END - timedelta(days=days - 5))
        period = {"start_ms": int(first.timestamp() * 1000), "end_ms": int(last.timestamp() * 1000)}
        target, selected = (columns, counts) if days > MAPPED_DAYS else ("", view)
        client.command(f"INSERT INTO daily_aggregates {target} {selected} {ROLLED_UP}", parameters=period)
    client.command("ATTACH TABLE daily_aggregates_mv")


async def ask_api(api: httpx.AsyncClient, accounts: list[tuple[str, str]], pid: int) -> dict[str, Any]:
    async def dashboard(key: str, days: int, *, hours: int = 0, bots: bool = False) -> None:
        """Begins `hours` after midnight."""
        start = END - timedelta(days=days, hours=-hours)
        period = {
            "from": start.isoformat().replace("+00:00", "Z"),
            "to": END.date().isoformat(),
            "include_bots": bots,
        }
        asked = [
            ("timeseries", {}),
            ("breakdown", {"group_by": "country"}),
            ("breakdown", {"group_by": "device"}),
            ("top-codes", {}),
        ]
        headers = {"Authorization": f"Bearer {key}"}
        answers = await asyncio.gather(
            *(api.get(f"/v1/analytics/{path}", headers=headers, params=period | query) for path, query in asked)
        )
        for answer in answers:
            answer.raise_for_status()

    async def platform() -> None:
        (await api.get("/v1/admin/stats/overview", headers=ADMIN)).raise_for_status()

    keys = [key for _, key in accounts]
    return {
        "dashboard of 30 days": await timed([lambda k=key: dashboard(k, 30) for key in keys], pid),
        "dashboard of 30 days, the largest account": await timed([lambda: dashboard(keys[0], 30)], pid),
        "dashboard of 30 days, off midnight": await timed(
            [lambda k=key: dashboard(k, 30, hours=1) for key in keys], pid
        ),
        "dashboard of 30 days, bots too, all from raw": await timed(
            [lambda k=key: dashboard(k, 30, bots=True) for key in keys], pid
        ),
        "dashboard of 365 days, off midnight": await timed(
            [lambda k=key: dashboard(k, 365, hours=1) for key in keys], pid
        ),
        "platform overview": await timed([platform], pid),
    }


async def ask_postgres(dsn: str, client: Any, accounts: list[tuple[str, str]]) -> dict[str, Any]:
    async with asyncpg.create_pool(dsn, min_size=len(IN_POSTGRES), max_size=len(IN_POSTGRES)) as pool:
        await copy_to_postgres(pool, client)

        async def dashboard(workspace_id: str, days: int) -> None:
            period = (END - timedelta(days=days), END)
            await asyncio.gather(*(pool.fetch(statement, workspace_id, *period) for statement in IN_POSTGRES))

        ids = [workspace_id for workspace_id, _ in accounts]
        return {
            "Postgres, dashboard of 30 days": await timed([lambda w=one: dashboard(w, 30) for one in ids]),
            "Postgres, dashboard of 30 days, the largest account": await timed([lambda: dashboard(ids[0], 30)]),
            "Postgres, dashboard of 365 days": await timed([lambda w=one: dashboard(w, 365) for one in ids]),
            "Postgres, bytes": await pool.fetchval("SELECT pg_total_relation_size('scans')"),
        }


async def copy_to_postgres(pool: Any, client: Any) -> None:
    await pool.execute(TABLE)
    started = time.monotonic()
    with client.raw_stream(f"SELECT {', '.join(COPIED)} FROM qr_scan_events", fmt="CSV") as source:  # noqa: S608
        await pool.copy_to_table("scans", source=pieces(source), columns=COPIED, format="csv")
    await pool.execute(INDEX)
    await pool.execute("VACUUM ANALYZE scans")
    print(f"in Postgres after {time.monotonic() - started:.0f} s")


async def pieces(source: Any) -> Any:
    while piece := await asyncio.to_thread(source.read, 1 << 20):
        yield piece


async def timed(questions: list[Callable[[], Awaitable[None]]], pid: int | None = None) -> dict[str, float]:
    """Milliseconds of each question in ROUNDS rounds, after one to warm up."""
    for ask in questions:
        await ask()
    spent, cpu = [], cpu_seconds(pid) if pid else 0.0
    for _ in range(ROUNDS):
        for ask in questions:
            started = time.perf_counter()
            await ask()
            spent.append(1000 * (time.perf_counter() - started))
    figures = {"p50_ms": statistics.median(spent), "p95_ms": percentile(spent, 0.95), "max_ms": max(spent)}
    if pid:
        figures["clickhouse_cpu_ms"] = 1000 * (cpu_seconds(pid) - cpu) / len(spent)
    return {name: round(value, 1) for name, value in figures.items()}


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def write(entry: dict[str, Any]) -> None:
    for name, figure in entry["figures"].items():
        print(f"{name:<55} {figure}", verdict(name, figure))
    written = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"runs": {}}
    written.pop("bounds_p95_ms_at_100_million", None)
    written["bounds_p95_ms"] = BOUNDS_P95_MS
    written["runs"][str(ROWS)] = entry | {"about": describe_machine()}
    RESULTS.write_text(json.dumps(written, indent=2) + "\n")


def verdict(name: str, figure: Any) -> str:
    bound = BOUNDS_P95_MS.get(name)
    if bound is None:
        return ""
    return f"{'REACHED' if figure['p95_ms'] <= bound else 'MISSED'}: {bound} ms"


if __name__ == "__main__":
    main()

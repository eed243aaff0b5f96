"""Whether questions in other time zones need a rollup by the hour, or are answered fast enough from raw.

Fills an embedded ClickHouse with ROWS scans over 90 days, a million of them of one code, in a workspace with ten times
as many, and asks for that code's 90 days by day in several zones: the API's own statement, from raw; beside it the
daily rollup, which knows UTC days only. Prints medians of ROUNDS, the zones interleaved, beside the bound of one
account's dashboard, and the size of both tables; writes benchmarks/results/time_zones.json. Wall clock on a shared
machine is an indication.
"""

import asyncio
import json
import os
import statistics
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import clickhouse_connect

from benchmarks.machine.description import describe_machine
from control_api.analytics.repository import BOUNDS
from scanhop.devstack import EmbeddedStack
from scanhop.stores.migrations import migrate
from scanhop.stores.sql import load_queries

ROWS = int(os.environ.get("ROWS", 20_000_000))
ROUNDS = int(os.environ.get("ROUNDS", 15))
BOUND_MS = 100
ZONES = ("UTC", "Asia/Kolkata", "America/New_York", "Australia/Lord_Howe")
ACCOUNT = "00000000-0000-0000-0000-0000000000aa"
CODE = "00000000-0000-0000-0000-0000000000bb"
START_MS, DAYS = 1_767_225_600_000, 90
END_MS = START_MS + DAYS * 86_400_000
RESULTS = Path(__file__).parent / "results" / "time_zones.json"

FILL = """
INSERT INTO qr_scan_events (event_id, workspace_id, qr_id, scanned_at, outcome, visitor, country, device_type, os, browser)
SELECT generateUUIDv4(),
       if(number % 2 = 0, toUUID({account:String}), reinterpretAsUUID(toUInt128(number % 2000))) AS workspace_id,
       if(number % 20 = 0, toUUID({code:String}), reinterpretAsUUID(toUInt128(1000000 + number % 20000))) AS qr_id,
       fromUnixTimestamp64Milli(toInt64({start_ms:Int64} + cityHash64(number) % {span_ms:Int64}), 'UTC'),
       'redirect',
       cityHash64(number % 500000),
       ['DE', 'AT', 'US', 'IN', 'FR'][1 + number % 5],
       'mobile',
       'iOS',
       'Mobile Safari'
FROM numbers({first:UInt64}, {count:UInt64})
"""
ROLLED_UP = """
SELECT date, sum(scans) FROM daily_aggregates
WHERE workspace_id = {workspace_id:UUID} AND qr_id = {qr_id:UUID}
  AND date >= toDate(fromUnixTimestamp64Milli({start_ms:Int64}, 'UTC'))
  AND date < toDate(fromUnixTimestamp64Milli({end_ms:Int64}, 'UTC'))
GROUP BY date
"""
SIZES = """
SELECT table, sum(bytes_on_disk) FROM system.parts
WHERE active AND database = currentDatabase() AND table IN ('qr_scan_events', 'daily_aggregates') GROUP BY table
"""


def main() -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        EmbeddedStack(Path(folder), redis=False) as stack,
    ):
        assert stack.addresses.postgres_dsn is not None
        assert stack.addresses.clickhouse_url is not None
        asyncio.run(migrate(stack.addresses.postgres_dsn, stack.addresses.clickhouse_url))
        client = clickhouse_connect.get_client(dsn=stack.addresses.clickhouse_url, send_receive_timeout=900)
        fill(client)
        figures = measure(client)
        sizes = {table: size for table, size in client.query(SIZES).result_rows}  # noqa: C416 - rows are tuples
    for name, median_ms in figures.items():
        print(f"{name:<40} {median_ms:>8.1f} ms   bound {BOUND_MS} ms")
    for table, size in sizes.items():
        print(f"{table:<40} {size / 2**20:>8.1f} MiB")
    written = {"about": describe_machine(), "rows": ROWS, "median_ms": figures, "bytes": sizes, "bound_ms": BOUND_MS}
    RESULTS.write_text(json.dumps(written, indent=2) + "\n")


def fill(client: Any) -> None:
    step = 1_000_000
    for first in range(0, ROWS, step):
        parameters = {"account": ACCOUNT, "code": CODE, "start_ms": START_MS, "span_ms": END_MS - START_MS}
        client.command(FILL, parameters=parameters | {"first": first, "count": min(step, ROWS - first)})


def measure(client: Any) -> dict[str, float]:
    by_date = load_queries("control_api.analytics")["list_dates"]
    usual = {"workspace_id": ACCOUNT, "qr_id": CODE, "start_ms": START_MS, "end_ms": END_MS}
    usual |= {"include_bots": 0, "granularity": "day"}
    times: defaultdict[str, list[float]] = defaultdict(list)
    for number in range(ROUNDS + 1):
        for zone in ZONES:
            spent = timed(client, by_date, usual | {"timezone": zone})
            times[f"90 days by day from raw, {zone}"] += [spent] if number else []
        times["90 days by day from the rollup, UTC"] += [timed(client, ROLLED_UP, usual)] if number else []
    return {name: round(statistics.median(each), 1) for name, each in times.items()}


def timed(client: Any, statement: str, parameters: dict[str, Any]) -> float:
    started = time.perf_counter()
    rows = client.query(statement, parameters=parameters, settings=BOUNDS).result_rows
    assert len(rows) >= DAYS
    return 1000 * (time.perf_counter() - started)


if __name__ == "__main__":
    main()

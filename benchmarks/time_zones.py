"""Whether questions in other time zones need a rollup by the hour, or are answered fast enough from raw.

Fills an embedded ClickHouse with ROWS scans over 90 days, among them three codes with a 2000th, a 200th and a 20th of
them, and asks for each code's 90 days by day in UTC and in other zones: the API's own statement, from raw; the same
without its visitors; and the daily rollup, which knows UTC days only and no visitors. Prints medians of ROUNDS,
interleaved, and the size of both tables; writes benchmarks/results/time_zones.json. Wall clock on a shared machine is
an indication; what counts is how the columns compare.
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
from control_api.analytics.scan_store import BOUNDS
from scanhop.devstack import EmbeddedStack
from scanhop.stores.migrations import migrate
from scanhop.stores.sql import load_queries

ROWS = int(os.environ.get("ROWS", "20000000"))
ROUNDS = int(os.environ.get("ROUNDS", "15"))
ZONES = ("UTC", "Asia/Kolkata", "America/New_York", "Australia/Lord_Howe")
ACCOUNT = "00000000-0000-0000-0000-0000000000aa"
CODES = {
    "00000000-0000-0000-0000-0000000000b1": 2000,
    "00000000-0000-0000-0000-0000000000b2": 200,
    "00000000-0000-0000-0000-0000000000b3": 20,
}
START_MS, DAYS = 1_767_225_600_000, 90
END_MS = START_MS + DAYS * 86_400_000
RESULTS = Path(__file__).parent / "results" / "time_zones.json"

FILL = """
INSERT INTO qr_scan_events
    (event_id, workspace_id, qr_id, scanned_at, outcome, visitor, country, device_type, os, browser)
SELECT generateUUIDv4(),
       if(number % 20 <= 2, toUUID({account:String}), reinterpretAsUUID(toUInt128(number % 2000))),
       multiIf(number % 2000 = 2, toUUID({codes:Array(String)}[1]),
               number % 200 = 1, toUUID({codes:Array(String)}[2]),
               number % 20 = 0, toUUID({codes:Array(String)}[3]),
               reinterpretAsUUID(toUInt128(1000000 + number % 20000))),
       fromUnixTimestamp64Milli(toInt64({start_ms:Int64} + cityHash64(number) % {span_ms:Int64}), 'UTC'),
       'redirect',
       cityHash64(intDiv(number, 3) % 500000),
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
    with tempfile.TemporaryDirectory() as folder, EmbeddedStack(Path(folder), redis=False) as stack:
        addresses = stack.addresses
        asyncio.run(migrate(str(addresses.postgres_dsn), str(addresses.clickhouse_url)))
        client = clickhouse_connect.get_client(dsn=str(addresses.clickhouse_url), send_receive_timeout=900)
        fill(client)
        figures = {scans: measure(client, code) for code, scans in count_scans(client).items()}
        sizes = {table: size for table, size in client.query(SIZES).result_rows}  # noqa: C416 - rows are tuples
    for scans, medians in figures.items():
        for name, median_ms in medians.items():
            print(f"{scans:>9} scans, 90 days by day, {name:<38} {median_ms:>8.1f} ms")
    for table, size in sizes.items():
        print(f"{table:<40} {size / 2**20:>8.1f} MiB")
    written = {"about": describe_machine(), "rows": ROWS, "median_ms_by_scans": figures, "bytes": sizes}
    RESULTS.write_text(json.dumps(written, indent=2) + "\n")


def fill(client: Any) -> None:
    step = 1_000_000
    usual = {"account": ACCOUNT, "codes": list(CODES), "start_ms": START_MS, "span_ms": END_MS - START_MS}
    for first in range(0, ROWS, step):
        client.command(FILL, parameters=usual | {"first": first, "count": min(step, ROWS - first)})
    client.command("OPTIMIZE TABLE qr_scan_events FINAL")


def count_scans(client: Any) -> dict[str, int]:
    statement = "SELECT count() FROM qr_scan_events WHERE qr_id = {code:UUID}"
    return {code: client.query(statement, parameters={"code": code}).result_rows[0][0] for code in CODES}


def measure(client: Any, code: str) -> dict[str, float]:
    by_date = load_queries("control_api.analytics")["list_dates"]
    counts_only = by_date.replace("uniqExactIf((toDate(scanned_at, 'UTC'), visitor), visitor != 0)", "0")
    usual = {"workspace_id": ACCOUNT, "qr_id": code, "start_ms": START_MS, "end_ms": END_MS}
    usual |= {"include_bots": 0, "granularity": "day"}
    times: defaultdict[str, list[float]] = defaultdict(list)
    for number in range(ROUNDS + 1):  # the first is a warm-up
        for zone in ZONES:
            for name, statement in (("raw, scans and visitors", by_date), ("raw, scans alone", counts_only)):
                spent = timed(client, statement, usual | {"timezone": zone})
                times[f"{name}, {zone}"] += [spent] if number else []
        times["rollup, scans alone, UTC"] += [timed(client, ROLLED_UP, usual)] if number else []
    return {name: round(statistics.median(each), 1) for name, each in times.items()}


def timed(client: Any, statement: str, parameters: dict[str, Any]) -> float:
    started = time.perf_counter()
    client.query(statement, parameters=parameters, settings=dict(BOUNDS))
    return 1000 * (time.perf_counter() - started)


if __name__ == "__main__":
    main()

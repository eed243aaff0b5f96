"""How long the import of a large file takes, and how much memory, at which size.

Writes files of ROWS / 10 and ROWS scans of 500 codes, as many in a month of each, imports each with `scanhop import
scans` on the embedded stack, then the larger one again (all of it known). Prints wall time, CPU per row and peak
memory (the largest resident set of the command's process) of each, with the rows that are in ClickHouse; writes
benchmarks/results/csv_import.json. Memory must not grow with the file: the two peaks stand side by side.
"""

import asyncio
import csv
import json
import os
import random
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import clickhouse_connect

from benchmarks.machine.description import describe_machine
from benchmarks.traffic.phones import list_header_blocks, user_agent
from scanhop.devstack import EmbeddedStack, StackAddresses
from scanhop.stores.migrations import migrate
from tests.codes import insert_codes

ROWS = int(os.environ.get("ROWS", "1000000"))
CODES = 500
START = datetime(2025, 1, 1, tzinfo=UTC)
MONTH_S = 30 * 86_400
RESULTS = Path(__file__).parent / "results" / "csv_import.json"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, EmbeddedStack(Path(folder) / "stack", redis=False) as stack:
        asyncio.run(migrate(str(stack.addresses.postgres_dsn), str(stack.addresses.clickhouse_url)))
        codes = [f"code{number}" for number in range(CODES)]
        asyncio.run(insert_codes(str(stack.addresses.postgres_dsn), codes))
        small, large = Path(folder) / "small.csv", Path(folder) / "large.csv"
        write_scans(small, codes, ROWS // 10, months=1, seed=1)
        write_scans(large, codes, ROWS, months=10, seed=2)
        runs = {
            f"{ROWS // 10} rows": run_import(stack.addresses, small),
            f"{ROWS} rows": run_import(stack.addresses, large),
            f"{ROWS} rows again": run_import(stack.addresses, large),
        }
    for name, figures in runs.items():
        print(name, *(f"{figure}: {value}" for figure, value in figures.items()), sep="  ")
    RESULTS.write_text(json.dumps({"about": describe_machine(), "runs": runs}, indent=2) + "\n")


def write_scans(path: Path, codes: list[str], rows: int, months: int, seed: int) -> None:
    chance = random.Random(seed)
    agents = [user_agent(block) for block in list_header_blocks(2000, chance)]
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["short_code", "scanned_at", "ip", "user_agent", "referer", "country"])
        for _ in range(rows):
            at = START + timedelta(milliseconds=chance.randrange(months * MONTH_S * 1000))
            address = ".".join(str(chance.randrange(1, 255)) for _ in range(4))
            writer.writerow([chance.choice(codes), at.isoformat(), address, chance.choice(agents), "", "AT"])


def run_import(addresses: StackAddresses, path: Path) -> dict[str, object]:
    env = os.environ | {
        "SCANHOP_POSTGRES_DSN": str(addresses.postgres_dsn),
        "SCANHOP_CLICKHOUSE_URL": str(addresses.clickhouse_url),
        "SCANHOP_DATA_DIR": str(path.parent / "data"),
    }
    started = time.perf_counter()
    pid = os.posix_spawn(sys.executable, [sys.executable, "-m", "scanhop", "import", "scans", str(path)], env)
    _, status, usage = os.wait4(pid, 0)
    if status:
        raise SystemExit(f"the import ended with {os.waitstatus_to_exitcode(status)}")
    with path.open() as file:
        rows = sum(1 for _ in file) - 1
    return {
        "seconds": round(time.perf_counter() - started, 1),
        "cpu_us_per_row": round((usage.ru_utime + usage.ru_stime) * 1e6 / rows, 1),
        "peak_mib": usage.ru_maxrss // 1024,
        "file_mib": path.stat().st_size >> 20,
        "rows_in_clickhouse": count_rows(str(addresses.clickhouse_url)),
    }


def count_rows(url: str) -> int:
    client = clickhouse_connect.get_client(dsn=url)
    try:
        return int(client.query("SELECT uniqExact(event_id) FROM qr_scan_events").result_rows[0][0])
    finally:
        client.close()


if __name__ == "__main__":
    main()

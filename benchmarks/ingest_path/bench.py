"""The rows of the report, how each is measured, and the report."""

import asyncio
import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import clickhouse_connect

from benchmarks.ingest_path.backlog import ADDRESSES, PROXIES, SEGMENT, USER_AGENTS, Traffic
from benchmarks.ingest_path.plain import load_plainly
from benchmarks.ingest_path.process import IngestProcess
from benchmarks.ingest_path.profile import profile_steps
from benchmarks.machine.cores import Cores
from benchmarks.machine.description import describe_machine
from benchmarks.machine.process_tree import cpu_seconds
from benchmarks.traffic.world import write_database
from ingest.frozen_batch import read_batch
from scanhop.devstack import EmbeddedStack, StackAddresses
from scanhop.spool import read_segment
from scanhop.spool.claim import list_spools
from scanhop.spool.segment import ACKED, SEALED, list_segments
from scanhop.stores.migrations import migrate
from tests.databases import new_clickhouse_database

RESULTS = Path(__file__).parents[1] / "results" / "ingest.json"
TARGET_US, GOAL_US, MAX_MEMORY_MB = 15, 10, 300
SEGMENTS, QUICK_SEGMENTS = (110, 40), (10, 10)  # of phones that connect directly, and behind a load balancer
FLOOR_SEGMENTS, PLAIN_SCANS = 10, 5_000
PACKAGES = (
    *("scanhop", "clickhouse-connect", "chdb-core", "maxminddb", "msgspec"),
    *("ua-parser-rs", "ua-parser-builtins", "user-agents"),
)
SCRATCH = ("direct-spool", "direct-staged", "proxied-spool", "proxied-staged", "plain", "profile")

Figures = dict[str, float]


def run_bench(folder: Path, *, is_quick: bool) -> None:
    """Prints the report; writes it unless it is a quick one. Raises WrongRows."""
    cores = Cores()
    cores.leave_the_server_core()
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)  # Postgres runs as another user
    database = folder / "city.mmdb"
    if not database.exists():
        write_database(database)
    with EmbeddedStack(folder / "engines", redis=False) as stack:
        runs = Bench(folder, database, stack.addresses, cores).run(*(QUICK_SEGMENTS if is_quick else SEGMENTS))
    for leftover in ("engines", *SCRATCH):
        shutil.rmtree(folder / leftover, ignore_errors=True)
    for name, figures in runs.items():
        print(name, *(f"  {figure:<48} {value:>12}" for figure, value in figures.items()), sep="\n")
    if not is_quick:
        about = describe_machine(PACKAGES) | {"user_agents": USER_AGENTS, "addresses": ADDRESSES}
        bounds = {"target_us": TARGET_US, "goal_us": GOAL_US, "max_memory_mb": MAX_MEMORY_MB}
        RESULTS.write_text(json.dumps({"about": about, "bounds": bounds, "runs": runs}, indent=2) + "\n")


class WrongRows(Exception):
    """Not every scan is there once: a figure would mean nothing."""


class Bench:
    """The rows of the report, each on a ClickHouse database of its own."""

    def __init__(self, folder: Path, database: Path, stores: StackAddresses, cores: Cores) -> None:
        self._folder = folder
        self._database = database
        self._stores = stores
        self._cores = cores
        self._clickhouse_pid = int((folder / "engines" / "clickhouse" / "front.pid").read_text())
        self._traffic = Traffic()

    def run(self, segments: int, proxied_segments: int) -> dict[str, Figures]:
        direct = self._ingest("direct", segments, {}, by_proxy=False)
        with self._kept_batches("direct") as bodies:
            floor = self._floor(bodies)
        proxied = self._ingest("proxied", proxied_segments, {"SCANHOP_TRUSTED_PROXIES": PROXIES}, by_proxy=True)
        return {
            "ingest, phones connect directly": direct,
            "ingest, behind a load balancer (X-Forwarded-For)": proxied,
            "floor: ClickHouse reads the same rows from Native files": floor,
            f"the plain way, of {PLAIN_SCANS} scans": self._plain(),
            "steps of ingest, warm, in CPU us a scan": self._profile(),
        }

    def _ingest(self, name: str, segments: int, settings: dict[str, str], *, by_proxy: bool) -> Figures:
        spool, staged = self._empty(f"{name}-spool"), self._empty(f"{name}-staged")
        self._traffic.write(staged, segments, by_proxy=by_proxy)
        scans, url = segments * SEGMENT, self._new_database(name)
        settings |= {
            "SCANHOP_POSTGRES_DSN": str(self._stores.postgres_dsn),
            "SCANHOP_CLICKHOUSE_URL": url,
            "SCANHOP_GEOIP_PATH": str(self._database),
        }
        with IngestProcess(spool, settings, self._cores) as ingest:
            idle_memory = ingest.memory_bytes("VmRSS")
            cpu, clickhouse_cpu, at = ingest.cpu_seconds(), cpu_seconds(self._clickhouse_pid), time.monotonic()
            ingest.take(staged)
            seconds = time.monotonic() - at
            cpu, clickhouse_cpu = ingest.cpu_seconds() - cpu, cpu_seconds(self._clickhouse_pid) - clickhouse_cpu
            most_memory = ingest.memory_bytes("VmHWM")
        self._check(url, scans)
        return {
            "scans": scans,
            f"CPU us a scan (target {TARGET_US}, goal {GOAL_US})": _us(cpu, scans),
            "ClickHouse's CPU us a scan": _us(clickhouse_cpu, scans),
            "scans a second (an indication)": round(scans / seconds),
            "memory idle, MB": round(idle_memory / 1e6),
            f"most memory, MB (at most {MAX_MEMORY_MB})": round(most_memory / 1e6),
        }

    def _check(self, url: str, scans: int) -> None:
        """Raises WrongRows unless every scan is there once, with its place, and rolled up."""
        client = clickhouse_connect.get_client(dsn=url)
        statement = "SELECT count(), uniqExact(event_id), countIf(city != '' AND visitor != 0) FROM qr_scan_events"
        found = [*client.query(statement).result_rows[0]]
        found += client.query("SELECT sum(events) FROM daily_aggregates").result_rows[0]
        client.close()
        if set(found) != {scans}:
            raise WrongRows(f"{scans} scans; rows, event ids, with a place and a visitor, rolled up: {found}")

    @contextmanager
    def _kept_batches(self, name: str) -> Iterator[list[Path]]:
        """Native files of the batches that ingest accepted last, before they are cleared up."""
        root, bodies = self._folder / f"{name}-spool", []
        for spool_id in list_spools(root):
            for segment in list_segments(root, spool_id, ACKED)[-FLOOR_SEGMENTS:]:
                path = self._folder / f"{segment.number}.native"
                path.write_bytes(read_batch(segment.path(root, ACKED))[1])
                bodies.append(path)
        yield bodies
        for path in bodies:
            path.unlink()

    def _floor(self, bodies: list[Path]) -> Figures:
        url = self._new_database("floor")
        client = clickhouse_connect.get_client(dsn=url)
        rows = len(bodies) * SEGMENT
        read = self._clickhouse_cpu(
            client,
            [f"SELECT count() FROM file('{path}', Native) WHERE NOT ignore(*)" for path in bodies],  # noqa: S608
        )
        insert = self._clickhouse_cpu(
            client, [f"INSERT INTO qr_scan_events FROM INFILE '{path}' FORMAT Native" for path in bodies]
        )
        client.close()
        return {
            "scans": rows,
            "ClickHouse's CPU us a scan, only read": _us(read, rows),
            "ClickHouse's CPU us a scan, inserted and rolled up": _us(insert, rows),
        }

    def _clickhouse_cpu(self, client: clickhouse_connect.driver.Client, statements: list[str]) -> float:
        before = cpu_seconds(self._clickhouse_pid)
        for statement in statements:
            client.command(statement)
        return cpu_seconds(self._clickhouse_pid) - before

    def _plain(self) -> Figures:
        staged = self._empty("plain")
        self._traffic.write(staged, 1, by_proxy=False)
        (spool_id,) = list_spools(staged)
        (name,) = list_segments(staged, spool_id, SEALED)
        records = read_segment(name.path(staged, SEALED), name).records[:PLAIN_SCANS]
        spent = load_plainly([payload for _, payload in records], self._database, self._new_database("plain"))
        return {"scans": len(records), "CPU us a scan": _us(spent, len(records))}

    def _profile(self) -> Figures:
        staged = self._empty("profile")
        self._traffic.write(staged, 20, by_proxy=False)
        return profile_steps(staged, self._database)

    def _new_database(self, name: str) -> str:
        url = new_clickhouse_database(self._stores, f"bench_{name}")
        asyncio.run(migrate(str(self._stores.postgres_dsn), url))
        return url

    def _empty(self, name: str) -> Path:
        folder = self._folder / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        return folder


def _us(seconds: float, scans: int) -> float:
    return round(1e6 * seconds / scans, 2)

"""Starts what a run needs, once, and measures it; tells what is left out and why."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path

from benchmarks.machine.cores import Cores
from benchmarks.machine.process_tree import TreeChanged, list_tree, resident_bytes
from benchmarks.peers.starlette_redis import KEY_PREFIX
from benchmarks.redirect_path import codes, country_map, rows
from benchmarks.redirect_path.answer import WrongAnswer
from benchmarks.redirect_path.arrivals import Arrivals, run_arrivals
from benchmarks.redirect_path.edge_counts import read_counts
from benchmarks.redirect_path.measurement import Measured, NotAsItShould, measure
from benchmarks.redirect_path.product import Stores, empty_spool
from benchmarks.redirect_path.rows import Measurement
from benchmarks.redirect_path.scenarios import Scenario
from benchmarks.redirect_path.servers import PeerMissing, Server, Servers
from benchmarks.redirect_path.wrk import CONNECTIONS, LoadFailed, run_wrk

WARM_UP_S = 1
ROUND_STRIDE = 2_000_000  # apart enough that no round sees an address or code of another
CACHED_CODES = 100_000
FILL_RUNS = 60


class Contenders:
    """`missing`: peers that are not installed, with what brings them. `failed`: why a measurement gave no figure, for
    each time that it did not."""

    def __init__(self, cores: Cores, folder: Path, stores: Stores, scenarios: Mapping[str, Scenario]) -> None:
        self._servers = Servers(cores, folder / "servers")
        (folder / "servers").mkdir()
        self._folder = folder
        self._stores = stores
        self._scenarios = scenarios
        self._running: dict[str, Server] = {}
        self._fresh = count(1)
        self.missing: dict[str, str] = {}
        self.failed: defaultdict[Measurement, list[str]] = defaultdict(list)

    def stop(self) -> None:
        self._servers.stop()

    def prepare(self, wanted: Sequence[Measurement]) -> None:
        """Start each contender and let it warm up."""
        country_map.write_country_map(self._country_file)
        codes.set_plain(self._stores.redis_url, KEY_PREFIX + codes.HOT_CODE, codes.HOT_TARGET)
        for name in dict.fromkeys(contender for _, contender in wanted):
            self._start(name)
        for scenario, contender in wanted:
            if contender in self._running:
                self._warm_up(self._scenarios[scenario], self._running[contender])

    def measure(self, wanted: Measurement, seconds: int, number: int) -> Measured | None:
        """In round `number`, from 0. None: left out."""
        name, contender = wanted
        if contender in self.missing:
            return None
        scenario = self._scenarios[name]
        server = self._start_fresh() if scenario.once else self._running[contender]
        start = 0 if scenario.once else number * ROUND_STRIDE
        try:
            return measure(scenario, server, self._stores.redis_pid, seconds, start)
        except (NotAsItShould, WrongAnswer, LoadFailed, TreeChanged, OSError) as error:
            self.failed[wanted].append(str(error))
            return None
        finally:
            if scenario.once:
                server.stop()

    def measure_memory(self, seconds: int) -> float | None:
        """Megabytes resident in a worker that remembers CACHED_CODES codes."""
        server, start = self._start_fresh(), 0
        plan = replace(self._scenarios["cold"].plan, code_count=CACHED_CODES)
        for _ in range(FILL_RUNS):
            if read_counts(server.port, 1).value("scanhop_edge_cached_codes", "known") >= CACHED_CODES:
                _, *workers = list_tree(server.pid)
                return max(resident_bytes(pid) for pid in workers) / 1e6
            start += run_wrk(server.port, plan, seconds, start).requests
            empty_spool(server.spool or self._folder)
        self.failed["memory", rows.EDGE].append(f"the worker did not come to remember {CACHED_CODES} codes")
        return None

    def measure_latency(self, rate: float, seconds: int) -> dict[str, Arrivals]:
        """Of each contender that runs, at the same rate of arrivals."""
        try:
            program = self._servers.build_go("arrivals")
        except PeerMissing as error:
            self.missing["constant arrivals"] = str(error)
            return {}
        folder = self._scenarios["hot"].plan.folder
        found = {}
        for name in rows.LATENCY_CONTENDERS:
            server = self._running.get(name)
            if server is None:
                continue
            try:
                found[name] = run_arrivals(program, server.port, rate, seconds, CONNECTIONS, folder)
            except LoadFailed as error:
                self.failed["latency", name].append(str(error))
        return found

    @property
    def _country_file(self) -> Path:
        return self._folder / "countries.mmdb"

    def _start(self, name: str) -> None:
        settings = self._stores.settings
        believing = {"SCANHOP_TRUSTED_PROXIES": "127.0.0.0/8", "SCANHOP_GEOIP_PATH": str(self._country_file)}
        starts: dict[str, Callable[[], Server]] = {
            rows.EDGE: lambda: self._servers.edge("edge", settings),
            rows.BEHIND_PROXY: lambda: self._servers.edge("edge-behind-proxy", settings | believing),
            rows.TWO_WORKERS: lambda: self._servers.edge("edge-two-workers", settings, workers=2),
            rows.NGINX: lambda: self._servers.nginx("nginx", codes.HOT_TARGET, with_log=False),
            rows.NGINX_LOGGED: lambda: self._servers.nginx("nginx-logged", codes.HOT_TARGET, with_log=True),
            rows.FASTHTTP: lambda: self._servers.fasthttp(f"/r/{codes.HOT_CODE}", codes.HOT_TARGET),
            rows.STARLETTE: lambda: self._servers.starlette_redis(self._stores.redis_url),
        }
        if name not in starts:  # it is started for each measurement
            return
        try:
            self._running[name] = starts[name]()
        except PeerMissing as error:
            self.missing[name] = str(error)

    def _start_fresh(self) -> Server:
        """An edge that has seen the hot code alone."""
        server = self._servers.edge(f"edge-fresh-{next(self._fresh)}", self._stores.settings)
        self._warm_up(self._scenarios["hot"], server)
        return server

    def _warm_up(self, scenario: Scenario, server: Server) -> None:
        run_wrk(server.port, scenario.plan, WARM_UP_S, start=6 * ROUND_STRIDE)

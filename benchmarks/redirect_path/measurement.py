"""One measurement: a server saturated for some seconds, the CPU that it took, and whether it did what it should."""

from dataclasses import asdict, dataclass

from benchmarks.machine.process_tree import read_cpu
from benchmarks.redirect_path.answer import check_answer
from benchmarks.redirect_path.edge_counts import EdgeCounts, read_counts
from benchmarks.redirect_path.product import empty_spool
from benchmarks.redirect_path.scenarios import Scenario
from benchmarks.redirect_path.servers import Server
from benchmarks.redirect_path.wrk import CONNECTIONS, run_wrk

SPOOLED = "scanhop_edge_spooled_scans_total"
EXCEPTIONS, UNKNOWN_BUDGET = "scanhop_edge_exceptions_total", "unknown_budget"
UNAVAILABLE = "scanhop_edge_unavailable_total"
ROUTES = "scanhop_edge_routes_total"


class NotAsItShould(Exception):
    """The figure would mean nothing; the message says why."""


@dataclass(frozen=True)
class EdgeScans:
    """What the edge says it did meanwhile. `over_budget`: of unknown codes, by a network that asked for too many;
    these are answered and not recorded. `lost`: answered and neither."""

    recorded: int
    over_budget: int
    lost: int
    routes: dict[str, int]


@dataclass(frozen=True)
class Measured:
    """`cpu_us`: of the server's process tree, for each request. `redis_cpu_us`: of the Redis server beside it."""

    requests: int
    seconds: float
    cpu_us: float
    redis_cpu_us: float
    edge: EdgeScans | None

    def as_json(self) -> dict[str, object]:
        rounded = {"cpu_us": round(self.cpu_us, 3), "redis_cpu_us": round(self.redis_cpu_us, 3)}
        return asdict(self) | rounded | {"requests_a_second": round(self.requests / self.seconds)}


def measure(scenario: Scenario, server: Server, redis_pid: int, seconds: float, start: int) -> Measured:
    """Raises NotAsItShould, WrongAnswer, LoadFailed, TreeChanged."""
    for request, expected in scenario.checks:
        check_answer(server.port, request, expected)
    if server.spool is not None:
        empty_spool(server.spool)
    counts = _counts(server)
    cpu, redis_cpu = read_cpu(server.pid), read_cpu(redis_pid)
    load = run_wrk(server.port, scenario.plan, seconds, start)
    used, redis_used = read_cpu(server.pid).since(cpu), read_cpu(redis_pid).since(redis_cpu)
    wanted_bad = load.requests if scenario.answers.status >= 400 else 0
    if load.requests == 0 or load.bad_status != wanted_bad or load.broken:
        raise NotAsItShould(f"wrk saw {load}, of which {wanted_bad} should have a status of 400 and above")
    scans = None if counts is None else _scans(scenario, server, counts, load.requests)
    return Measured(
        load.requests, load.seconds, used / 1000 / load.requests, redis_used / 1000 / load.requests, scans
    )


def _counts(server: Server) -> EdgeCounts | None:
    return None if server.spool is None else read_counts(server.port, server.workers)


def _scans(scenario: Scenario, server: Server, before: EdgeCounts, answered: int) -> EdgeScans:
    """wrk ends with requests under way, at most one a connection, whose scans are recorded and whose answers it does
    not count."""
    moved = read_counts(server.port, server.workers).since(before)
    recorded = moved.total(SPOOLED)
    sources = {label: value for (name, label), value in moved.samples.items() if name == ROUTES}
    over_budget = moved.value(EXCEPTIONS, UNKNOWN_BUDGET)
    if recorded + over_budget > answered + CONNECTIONS:
        raise NotAsItShould(f"{recorded} scans recorded and {over_budget} refused for {answered} answers")
    if moved.total(UNAVAILABLE):
        raise NotAsItShould(f"{moved.total(UNAVAILABLE)} of {answered} answers were 503: no store could be asked")
    if scenario.once and sources.get("cache", 0) > CONNECTIONS:
        raise NotAsItShould(f"{sources['cache']} of {answered} codes were remembered: too few for so long a run")
    return EdgeScans(recorded, over_budget, max(0, answered - recorded - over_budget), sources)

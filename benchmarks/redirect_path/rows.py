"""The rows of the comparison: which measurements each needs, and what they are to reach."""

from collections.abc import Sequence
from dataclasses import dataclass

Measurement = tuple[str, str]  # the scenario, the contender

EDGE, BEHIND_PROXY, TWO_WORKERS, FRESH = "edge", "edge behind a proxy", "edge, two workers", "edge just started"
NGINX, NGINX_LOGGED, FASTHTTP, STARLETTE = "nginx", "nginx with access log", "fasthttp", "Starlette + Redis GET"
HOT: Measurement = ("hot", EDGE)
MEMORY_ROW, LATENCY_ROW = 8, 9
MEMORY_BOUND_MB = 150
_LABELS = {"strangers": "unknown codes, many networks", "one-stranger": "unknown codes, one network"}
LATENCY_CONTENDERS = (EDGE, NGINX, FASTHTTP)


@dataclass(frozen=True)
class Target:
    """The CPU of `measurement` is at most `bound` times that of `against`."""

    measurement: Measurement
    against: Measurement
    bound: float


@dataclass(frozen=True)
class Row:
    """`needs`: what must be measured beside it. `asks_no_database`: Postgres must not be asked meanwhile."""

    number: int
    name: str
    measurements: Sequence[Measurement] = ()
    targets: Sequence[Target] = ()
    needs: Sequence[Measurement] = ()
    asks_no_database: bool = False

    def label(self, measurement: Measurement) -> str:
        """What was asked for, where a row asks for several things."""
        return _LABELS.get(measurement[0], self.name)


def _beside_peers(number: int, name: str, measured: Measurement, nginx: float, fasthttp: float) -> Row:
    peers = {(measured[0], NGINX): nginx, (measured[0], FASTHTTP): fasthttp}
    return Row(number, name, [measured, *peers], [Target(measured, peer, bound) for peer, bound in peers.items()])


def _beside_hot(number: int, name: str, bound: float, *measurements: Measurement) -> Row:
    return Row(number, name, measurements, [Target(measured, HOT, bound) for measured in measurements])


ROWS = (
    _beside_peers(1, "hot route, keep-alive", HOT, 1.10, 1.0),
    _beside_peers(2, "hot route, every head different", ("unique", BEHIND_PROXY), 1.35, 1.2),
    _beside_peers(3, "hot route, new connections", ("closed", EDGE), 1.6, 1.1),
    _beside_hot(4, "code in Redis, not in the worker", 6, ("cold", FRESH)),
    _beside_hot(5, "route with rules", 3, ("rules", BEHIND_PROXY)),
    Row(
        6,
        "random unknown codes",
        [("strangers", BEHIND_PROXY), ("one-stranger", EDGE)],
        [Target(("strangers", BEHIND_PROXY), HOT, 6), Target(("one-stranger", EDGE), HOT, 6)],
        asks_no_database=True,
    ),
    _beside_hot(7, "two workers", 1.1, ("hot", TWO_WORKERS)),
    Row(MEMORY_ROW, "memory of a worker with 100,000 routes"),
    Row(LATENCY_ROW, "latency at half of the edge's saturation", needs=[HOT]),
    Row(10, "beside them, without a target", [("hot", NGINX_LOGGED), ("hot", STARLETTE)]),
)


def list_measurements(rows: Sequence[Row]) -> list[Measurement]:
    """Each once, those that are compared with among them."""
    wanted = [measured for row in rows for measured in (*row.measurements, *row.needs)]
    compared = [target.against for row in rows for target in row.targets]
    return list(dict.fromkeys([*wanted, *compared]))

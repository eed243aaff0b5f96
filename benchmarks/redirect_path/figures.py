"""From rounds of measurements to figures: medians, ratios within a round, and whether a target is reached."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

from benchmarks.redirect_path.arrivals import Arrivals
from benchmarks.redirect_path.measurement import Measured
from benchmarks.redirect_path.rows import MEMORY_BOUND_MB, MEMORY_ROW, Measurement, Row, Target

Round = Mapping[Measurement, Measured]
LATENCIES = ("p50_us", "p99_us", "p999_us")


@dataclass(frozen=True)
class Verdict:
    """`measured` against `bound`."""

    row: int
    what: str
    measured: float
    bound: float
    unit: str = ""

    @property
    def is_reached(self) -> bool:
        return self.measured <= self.bound

    def as_json(self) -> dict[str, object]:
        return asdict(self) | {"measured": round(self.measured, 3), "reached": self.is_reached}


@dataclass
class Results:
    """What a run brought."""

    rounds: list[Round] = field(default_factory=list)
    latencies: list[Mapping[str, Arrivals]] = field(default_factory=list)
    memory_mb: float | None = None

    def of(self, wanted: Measurement) -> list[Measured]:
        return [found[wanted] for found in self.rounds if wanted in found]

    def median_cpu(self, wanted: Measurement) -> float | None:
        measured = self.of(wanted)
        return statistics.median(one.cpu_us for one in measured) if measured else None

    def first_rate(self, wanted: Measurement) -> float:
        """Requests a second when it was first measured; 0 when it never was."""
        measured = self.of(wanted)
        return measured[0].requests / measured[0].seconds if measured else 0.0

    def ratio(self, target: Target) -> float | None:
        """The median of the rounds' ratios."""
        ratios = [
            found[target.measurement].cpu_us / found[target.against].cpu_us
            for found in self.rounds
            if target.measurement in found and target.against in found
        ]
        return statistics.median(ratios) if ratios else None

    def median_latencies(self) -> dict[str, dict[str, float]]:
        names = dict.fromkeys(name for found in self.latencies for name in found)
        return {name: self._median_latency(name) for name in names}

    def _median_latency(self, name: str) -> dict[str, float]:
        runs = [found[name] for found in self.latencies if name in found]
        median = {which: round(statistics.median(getattr(run, which) for run in runs), 1) for which in LATENCIES}
        return median | {"rate": runs[0].rate, "failed": sum(run.due - run.answered for run in runs)}

    def verdicts(self, rows: Sequence[Row]) -> list[Verdict]:
        found = []
        for row in rows:
            for target in row.targets:
                ratio = self.ratio(target)
                if ratio is not None:
                    found.append(Verdict(row.number, _comparison(target), ratio, target.bound, "x"))
            if row.asks_no_database:
                found += self._database_verdicts(row)
            if row.number == MEMORY_ROW and self.memory_mb is not None:
                found.append(Verdict(row.number, row.name, self.memory_mb, MEMORY_BOUND_MB, "MB"))
        return found

    def _database_verdicts(self, row: Row) -> list[Verdict]:
        verdicts = []
        for wanted in row.measurements:
            asked = [one.edge.routes.get("postgres", 0) for one in self.of(wanted) if one.edge is not None]
            if asked:
                verdicts.append(Verdict(row.number, f"{' / '.join(wanted)}: look-ups in Postgres", sum(asked), 0))
        return verdicts


def _comparison(target: Target) -> str:
    return f"{' / '.join(target.measurement)} : {' / '.join(target.against)}"

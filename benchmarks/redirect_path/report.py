"""The results as a table on stdout and as JSON."""

import statistics
from collections.abc import Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.redirect_path.figures import Results
from benchmarks.redirect_path.measurement import Measured
from benchmarks.redirect_path.rows import Measurement, Row

NOTEWORTHY_REDIS_US = 0.5


def print_report(console: Console, rows: Sequence[Row], results: Results) -> None:
    console.print(_measurements(rows, results))
    latencies = results.median_latencies()
    if latencies:
        console.print(_latencies(latencies))
    console.print(_verdicts(rows, results))


def build_json(about: dict[str, Any], rows: Sequence[Row], results: Results) -> dict[str, Any]:
    return {
        "about": about,
        "targets": [verdict.as_json() for verdict in results.verdicts(rows)],
        "medians": [_medians(row, results) for row in rows if row.measurements],
        "latency": results.median_latencies(),
        "memory_mb": None if results.memory_mb is None else round(results.memory_mb, 1),
        "rounds": [
            {" / ".join(wanted): measured.as_json() for wanted, measured in found.items()} for found in results.rounds
        ],
    }


def _medians(row: Row, results: Results) -> dict[str, object]:
    measured = [_median(wanted, results) for wanted in row.measurements]
    return {"row": row.number, "name": row.name, "measured": measured}


def _median(wanted: Measurement, results: Results) -> dict[str, object]:
    scenario, contender = wanted
    measured = results.of(wanted)
    if not measured:
        return {"requests": scenario, "server": contender, "cpu_us": None}
    return {
        "requests": scenario,
        "server": contender,
        "cpu_us": round(statistics.median(one.cpu_us for one in measured), 2),
        "redis_cpu_us": round(statistics.median(one.redis_cpu_us for one in measured), 2),
        "requests_a_second": round(statistics.median(one.requests / one.seconds for one in measured)),
        "answered": sum(one.requests for one in measured),
        "lost_scans": _lost(measured),
    }


def _measurements(rows: Sequence[Row], results: Results) -> Table:
    table = Table("row", "requests", "server", box=box.SIMPLE, title="CPU for each request, median of the rounds")
    for name in ("CPU us", "Redis us", "requests/s", "scans lost"):
        table.add_column(name, justify="right")
    for row in rows:
        for wanted in row.measurements:
            table.add_row(str(row.number), row.label(wanted), wanted[1], *_cells(results.of(wanted)))
    return table


def _cells(measured: Sequence[Measured]) -> list[str]:
    if not measured:
        return ["left out", "", "", ""]
    redis = statistics.median(one.redis_cpu_us for one in measured)
    lost = _lost(measured)
    return [
        f"{statistics.median(one.cpu_us for one in measured):.1f}",
        f"{redis:.1f}" if redis >= NOTEWORTHY_REDIS_US else "",
        f"{statistics.median(one.requests / one.seconds for one in measured):.0f}",
        "" if lost is None else str(lost),
    ]


def _lost(measured: Sequence[Measured]) -> int | None:
    """None for a server that records nothing."""
    edges = [one.edge for one in measured if one.edge is not None]
    return sum(edge.lost for edge in edges) if edges else None


def _latencies(latencies: dict[str, dict[str, float]]) -> Table:
    rate = next(iter(latencies.values()))["rate"]
    table = Table("server", box=box.SIMPLE, title=f"Latency in us at {rate:.0f} requests/s, median of the rounds")
    for name in ("p50", "p99", "p99.9", "without an answer"):
        table.add_column(name, justify="right")
    for name, found in latencies.items():
        shown = [f"{found[which]:.0f}" for which in ("p50_us", "p99_us", "p999_us", "failed")]
        table.add_row(name, *shown)
    return table


def _verdicts(rows: Sequence[Row], results: Results) -> Table:
    table = Table("row", "target", box=box.SIMPLE, title="Targets, median of the ratios within a round")
    for name in ("at most", "measured", ""):
        table.add_column(name, justify="right")
    for verdict in results.verdicts(rows):
        outcome = "[green]REACHED[/]" if verdict.is_reached else "[red]MISSED[/]"
        bound, measured = f"{verdict.bound:g} {verdict.unit}", f"{verdict.measured:.4g} {verdict.unit}"
        table.add_row(str(verdict.row), verdict.what, bound, measured, outcome)
    return table

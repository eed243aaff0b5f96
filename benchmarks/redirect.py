"""What a redirect costs in CPU, beside nginx, Go's fasthttp and a plain Starlette application.

Each server answers the same requests on a core of its own while the load generator, the stores and this program have
the others. Prints every figure beside its target; a complete run writes benchmarks/results/redirect.json and .svg.
docs/benchmarks.md says what each row is, what must be installed, and how to read it.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from benchmarks.machine.cores import Cores, TooFewCores
from benchmarks.machine.description import describe_machine
from benchmarks.redirect_path.chart import draw_chart
from benchmarks.redirect_path.codes import NotPublished
from benchmarks.redirect_path.contenders import CACHED_CODES, Contenders
from benchmarks.redirect_path.figures import Results
from benchmarks.redirect_path.product import running_stores
from benchmarks.redirect_path.report import build_json, print_report
from benchmarks.redirect_path.rows import HOT, LATENCY_ROW, MEMORY_ROW, ROWS, Row, list_measurements
from benchmarks.redirect_path.scenarios import HEADER_BLOCKS, build_scenarios
from benchmarks.redirect_path.wrk import CONNECTIONS, LoadFailed, require_wrk
from scanhop.devstack import StackFailed
from scanhop.supervisor import ChildFailed

RESULTS = Path(__file__).parent / "results"
CODES_A_SECOND = 70_000  # more than an edge looks up in Redis in a second
FOLDER_OF_RUNS = Path("/var/tmp")  # a disk, where /tmp may be memory  # noqa: S108

console = Console(width=118, highlight=False)


def main() -> int:
    wanted = _arguments()
    try:
        require_wrk()
        return _run(wanted, Cores())
    except (LoadFailed, TooFewCores, NotPublished, ChildFailed, StackFailed) as error:
        console.print(str(error), markup=False)
        return 1


def _run(wanted: "_Wanted", cores: Cores) -> int:
    """Ends with 1 when a measurement gave no figure in any round, whatever the targets say."""
    about = describe_machine()
    cores.leave_the_server_core()
    with _running(cores, wanted.seconds) as contenders:
        results = run_rounds(contenders, wanted.rows, wanted.rounds, wanted.seconds)
    left_out = dict(contenders.missing)
    for measurement, reasons in contenders.failed.items():
        left_out[" / ".join(measurement)] = f"{len(reasons)} of {wanted.rounds} times: {reasons[0]}"
    about |= {"method": _method(wanted, cores), "left_out": left_out}
    print_report(console, wanted.rows, results)
    for what, why in left_out.items():
        console.print(f"left out: {what}: {why}", markup=False)
    if wanted.is_complete:
        _write(about, wanted.rows, results)
    return 1 if _lacks_a_figure(wanted.rows, contenders, results) else 0


def _lacks_a_figure(rows: Sequence[Row], contenders: Contenders, results: Results) -> bool:
    """Peers that are not installed aside."""
    if results.memory_mb is None and any(row.number == MEMORY_ROW for row in rows):
        return True
    return any(
        measurement in contenders.failed and not results.of(measurement) for measurement in list_measurements(rows)
    )


def run_rounds(contenders: Contenders, rows: Sequence[Row], rounds: int, seconds: int) -> Results:
    """Every round begins with another measurement, so that none is always first."""
    numbers = {row.number for row in rows}
    measurements = list_measurements(rows)
    contenders.prepare(measurements)
    results = Results()
    for number in range(rounds):
        console.print(f"round {number + 1} of {rounds}")
        shift = number % max(1, len(measurements))
        measured = {
            one: contenders.measure(one, seconds, number) for one in measurements[shift:] + measurements[:shift]
        }
        results.rounds.append({one: found for one, found in measured.items() if found is not None})
        rate = results.first_rate(HOT) / 2
        if LATENCY_ROW in numbers and rate:
            results.latencies.append(contenders.measure_latency(rate, seconds))
    if MEMORY_ROW in numbers:
        results.memory_mb = contenders.measure_memory(seconds)
    return results


@contextmanager
def _running(cores: Cores, seconds: int) -> Iterator[Contenders]:
    many = max(CACHED_CODES * 11 // 10, CODES_A_SECOND * seconds)
    with tempfile.TemporaryDirectory(dir=FOLDER_OF_RUNS, prefix="scanhop-benchmark-") as name:
        folder = Path(name)
        console.print(f"starting the stores with {many} codes")
        with running_stores(folder, many) as stores:
            contenders = Contenders(cores, folder, stores, build_scenarios(folder / "plans", many))
            try:
                yield contenders
            finally:
                contenders.stop()


class _Wanted(argparse.Namespace):
    rounds: int
    seconds: int
    rows: Sequence[Row]
    is_complete: bool


def _arguments() -> _Wanted:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("--rounds", type=_positive, default=5, help="default: 5")
    parser.add_argument("--seconds", type=_positive, default=3, help="of each measurement; default: 3")
    parser.add_argument("--rows", type=_rows, default=ROWS, help="such as 1,2,7; default: all")
    parser.add_argument("--quick", action="store_true", help="one round of one second, to try the program")
    wanted = parser.parse_args(namespace=_Wanted())
    if wanted.quick:
        wanted.rounds = wanted.seconds = 1
    wanted.is_complete = len(wanted.rows) == len(ROWS) and not wanted.quick
    return wanted


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return number


def _rows(text: str) -> Sequence[Row]:
    numbers = {int(part) for part in text.split(",")}
    if not numbers <= {row.number for row in ROWS}:
        raise argparse.ArgumentTypeError(f"rows are numbered 1 to {len(ROWS)}")
    return [row for row in ROWS if row.number in numbers]


def _method(wanted: _Wanted, cores: Cores) -> dict[str, object]:
    return {
        "rounds": wanted.rounds,
        "seconds": wanted.seconds,
        "connections": CONNECTIONS,
        "header_blocks": HEADER_BLOCKS,
        "server_core": cores.server,
        "other_cores": sorted(cores.others),
        "cpu": "sum of /proc/PID/task/*/schedstat over the server's process tree",
        "ingest": "not running; sealed segments are removed between measurements",
    }


def _write(about: dict[str, object], rows: Sequence[Row], results: Results) -> None:
    content = build_json(about, rows, results)
    (RESULTS / "redirect.json").write_text(json.dumps(content, indent=1) + "\n")
    (RESULTS / "redirect.svg").write_text(draw_chart(rows, results))
    console.print(f"written: {RESULTS / 'redirect.json'} and redirect.svg")


if __name__ == "__main__":
    sys.exit(main())

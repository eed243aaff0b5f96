"""How long a phone waits for its redirect while the edge's disk stalls, beside the same load on a disk that does not.

Runs the whole product (`scanhop up`) on loopback, with the stores elsewhere: spool, routes and log are on the disk
that stalls. Prints both runs side by side and writes them to benchmarks/results/stalled_disk.json. The bound is
MAX_WAIT_S of `scanhop/spool/bounded_writer.py`, of the first tick of a stall alone; what a phone waits beyond it is
its own time and the machine's. Wall-clock figures on a shared machine are indications.
"""

import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.machine.description import describe_machine
from scanhop.spool import LossReason
from scanhop.spool.bounded_writer import MAX_WAIT_S
from tests.faults.engines import Engines
from tests.faults.phones import Phones, new_codes
from tests.faults.stalling_disk import StallingDisk
from tests.product import Product

STALLS, STALL_S, PAUSE_S, SCANS_A_SECOND = 10, 1.0, 1.0, 300
RESULTS = Path(__file__).parent / "results" / "stalled_disk.json"
Figures = dict[str, float]


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)  # Postgres runs as another user
        disk = StallingDisk(folder, folder / "data")
        quiet = {"SCANHOP_LOG_LEVEL": "error"}
        with (
            Engines(folder / "engines") as engines,
            Product(folder / "data", {**engines.settings, **disk.settings, **quiet}) as product,
        ):
            runs = {
                "undisturbed": measure(product, undisturbed),
                "stalling": measure(product, lambda: stalling(disk)),
            }
    print(
        f"{STALLS} stalls of {STALL_S} s, {SCANS_A_SECOND} scans a second; bound of a wait {1000 * MAX_WAIT_S:.0f} ms"
    )
    for figure in runs["stalling"]:
        print(f"{figure:<28} undisturbed {runs['undisturbed'][figure]:>9}   stalling {runs['stalling'][figure]:>9}")
    method = {"stalls": STALLS, "stall_s": STALL_S, "scans_a_second": SCANS_A_SECOND, "bound_ms": 1000 * MAX_WAIT_S}
    RESULTS.write_text(json.dumps({"about": describe_machine() | method, "runs": runs}, indent=2) + "\n")


def undisturbed() -> None:
    time.sleep(STALLS * (PAUSE_S + STALL_S))


def stalling(disk: StallingDisk) -> None:
    for _ in range(STALLS):
        time.sleep(PAUSE_S)
        with disk.stalled():
            time.sleep(STALL_S)


def measure(product: Product, happening: Callable[[], None]) -> Figures:
    lost = count_lost(product)
    with Phones(new_codes(product, f"bench-{time.time_ns()}@example.com", 8), 8, SCANS_A_SECOND) as phones:
        phones.wait_for(SCANS_A_SECOND)
        phones.waits.clear()
        happening()
    return {
        "longest wait, ms": round(1000 * max(phones.waits), 1),
        "99.9 percentile, ms": round(1000 * statistics.quantiles(phones.waits, n=1000)[-1], 1),
        "99 percentile, ms": round(1000 * statistics.quantiles(phones.waits, n=100)[-1], 1),
        "median, ms": round(1000 * statistics.median(phones.waits), 1),
        "scans answered": len(phones.waits),
        "of them not by a redirect": phones.refused.total(),
        "scans without an answer": len(phones.broken),
        "counted as lost": count_lost(product) - lost,
    }


def count_lost(product: Product) -> int:
    return int(sum(product.edge_figure("scanhop_edge_lost_scans_total", reason.value) for reason in LossReason))


if __name__ == "__main__":
    main()

"""What ingest costs in CPU for each scan, from a sealed segment to the accepted insert, and how much memory it needs.

The real process (`scanhop ingest`) on a core of its own, on the embedded ClickHouse and Postgres, works a backlog off
that SpoolWriter wrote: 20,000 User-Agents, a million addresses, a GeoIP database of the size of a city's. Beside it,
in the same run: the floor, ClickHouse reading the same rows from Native files; and the plain way, `user_agents.parse`
for each record and one line of JSON for each row, on a sample. The figure is CPU of the process (user and system,
from /proc), its start not counted, cold caches counted; ClickHouse's own is told apart. The most memory it ever had
is the kernel's VmHWM. Prints each figure beside its bound and writes them to benchmarks/results/ingest.json.

    PYTHONPATH=. .venv/bin/python benchmarks/ingest.py             # 110 segments, 5.5 million scans; some minutes
    PYTHONPATH=. .venv/bin/python benchmarks/ingest.py --quick     # 10 segments, writes nothing

It needs 5 GB on the disk of --folder, where the GeoIP database is kept for the next time.
"""

import argparse
import sys
from pathlib import Path

# This file's folder comes first, and in it `ingest` is this file.
sys.path[:] = [entry for entry in sys.path if Path(entry).resolve() != Path(__file__).resolve().parent]

from benchmarks.ingest_path.bench import run_bench  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--folder", type=Path, default=Path(".scanhop/bench-ingest"))
    options = parser.parse_args()
    run_bench(options.folder.resolve(), is_quick=options.quick)


if __name__ == "__main__":
    main()

"""Latency at a constant rate of arrivals, by benchmarks/peers/arrivals."""

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from benchmarks.redirect_path.wrk import LoadFailed


@dataclass(frozen=True)
class Arrivals:
    """Microseconds from the moment at which a request was due to its answer. `failed`: wrong or no answer."""

    rate: float
    due: int
    answered: int
    failed: int
    p50_us: float
    p99_us: float
    p999_us: float
    max_us: float


def run_arrivals(  # noqa: PLR0913 - a load
    program: Path, port: int, rate: float, seconds: int, connections: int, folder: Path
) -> Arrivals:
    """Raises LoadFailed."""
    argv = [str(program), f"127.0.0.1:{port}", f"{rate:.0f}", str(seconds), str(connections), str(folder)]
    env = {**os.environ, "GOGC": "off"}
    run = subprocess.run(argv, env=env, capture_output=True, text=True, check=False, timeout=seconds + 60)
    if run.returncode != 0:
        raise LoadFailed(f"arrivals ended with code {run.returncode}: {run.stderr[-500:]}")
    return Arrivals(**json.loads(run.stdout))

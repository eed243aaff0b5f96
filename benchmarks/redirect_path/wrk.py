"""wrk, the load generator: as many requests as the server answers, for some seconds."""

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from benchmarks.redirect_path.plan import Plan

CONNECTIONS = 64
_SCRIPT = Path(__file__).with_name("requests.lua")


class LoadFailed(Exception):
    """wrk is missing, or did not do what it should; the message says what."""


@dataclass(frozen=True)
class Load:
    """What wrk saw. `bad_status`: answers of 400 and above. `broken`: requests without an answer."""

    requests: int
    seconds: float
    bad_status: int
    broken: int


def require_wrk() -> None:
    if shutil.which("wrk") is None:
        raise LoadFailed("wrk is not installed; on Debian: apt-get install wrk")


def run_wrk(port: int, plan: Plan, seconds: float, start: int = 0) -> Load:
    """`start`: where the numbers of changing addresses and codes begin. Raises LoadFailed."""
    argv = ["wrk", "--threads", "1", "--connections", str(CONNECTIONS), "--duration", f"{seconds:.0f}s"]
    argv += ["--timeout", "10s", "--script", str(_SCRIPT), f"http://127.0.0.1:{port}", "--"]
    argv += [str(plan.folder), str(start), plan.code_format, str(plan.code_count)]
    run = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=seconds + 60)
    lines = [line for line in run.stdout.splitlines() if line.startswith("{")]
    if run.returncode != 0 or not lines:
        raise LoadFailed(f"wrk ended with code {run.returncode}: {(run.stderr or run.stdout)[-500:]}")
    said = json.loads(lines[-1])
    broken = sum(said[kind] for kind in ("connect", "read", "write", "timeout"))
    return Load(said["requests"], said["seconds"], said["status"], broken)

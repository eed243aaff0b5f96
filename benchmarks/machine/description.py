"""On what a figure was measured: the machine, the kernel, and the versions of all that took part."""

import os
import platform
import re
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

PACKAGES = ("scanhop", "uvicorn", "starlette", "httptools", "uvloop", "redis")
PROGRAMS = {
    "nginx": (["nginx", "-v"], r"nginx/(\S+)"),
    "wrk": (["wrk", "-v"], r"wrk (?:debian/)?(\S+)"),
    "go": (["go", "version"], r"go(\d\S+)"),
    "fasthttp": (["dpkg-query", "-W", "golang-github-valyala-fasthttp-dev"], r"\t(?:\d+:)?(\S+)"),
}


def describe_machine(packages: Sequence[str] = PACKAGES) -> dict[str, object]:
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "kernel": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "load_before": round(os.getloadavg()[0], 2),
        "versions": {name: version(name) for name in packages} | _program_versions(),
    }


def _processor() -> str:
    found = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return found[1] if found else platform.processor()


def _program_versions() -> dict[str, str]:
    """Of those that are installed."""
    found = {name: _search(argv, pattern) for name, (argv, pattern) in PROGRAMS.items()}
    return {name: said for name, said in found.items() if said is not None}


def _search(argv: Sequence[str], pattern: str) -> str | None:
    try:
        run = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=10)
    except OSError:
        return None
    found = re.search(pattern, run.stdout + run.stderr)
    return found[1] if found else None

"""docs/benchmarks.md lists the programs, and `make bench` runs all of them but the load test."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
LOAD_TEST = "locustfile"


def test_the_list_is_what_make_bench_runs_and_the_load_test():
    document = (ROOT / "docs" / "benchmarks.md").read_text()
    listed = re.findall(r"^\| `benchmarks/(\w+)\.py`", document, re.MULTILINE)
    found = re.search(r"for name in ([\w ]+);", (ROOT / "Makefile").read_text())
    assert found is not None
    run = found[1].split()
    assert sorted(listed) == sorted([*run, LOAD_TEST])
    assert all((ROOT / "benchmarks" / f"{name}.py").exists() for name in listed)

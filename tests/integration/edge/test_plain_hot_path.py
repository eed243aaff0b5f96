"""The edge where no hot path could be compiled: what a client sees of it is tested once more."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
TESTS = [Path(__file__).with_name(f"test_{name}.py") for name in ("fast_path", "redirect")]


@pytest.mark.timeout(900)
def test_without_a_compiled_hot_path_the_edge_passes_the_same_tests():
    argv = [sys.executable, "-m", "pytest", "-p", "tests.plain_hot_path", "-p", "no:cacheprovider", *TESTS]
    run = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "hot path: plain" in run.stdout

"""The import contracts hold, and each kind of them catches a violation planted into a copy of the sources."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("scanhop", "edge", "ingest", "control_api")

PLANTED = [
    ("edge/redirect.py", "import control_api.app", "the three processes never import"),
    ("scanhop/wire/ids.py", "import scanhop.stores.redis", "every module has a place"),
    ("scanhop/routing/decision.py", "import asyncpg", "wire and routing do no I/O"),
    ("ingest/loader.py", "import chdb", "Embedded engines and test tools stay out"),
    ("edge/app.py", "import clickhouse_connect", "The edge stays light"),
    ("edge/utils.py", "", "edge: every module has a place"),
    ("ingest/helpers.py", "", "ingest: every module has a place"),
    ("control_api/web/paging.py", "import control_api.identity.model", "control_api: domains depend downward"),
    ("control_api/domains/model.py", "import control_api.domains.service", "the same inner layers"),
    ("control_api/analytics/service.py", "import clickhouse_connect", "HTTP and rules never touch a driver"),
]


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("planted")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def lint_imports(folder: Path) -> "subprocess.CompletedProcess[str]":
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"]
    env = os.environ | {"PYTHONPATH": str(folder), "COLUMNS": "300"}
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)


def test_the_contracts_hold(copy):
    result = lint_imports(copy)
    assert result.returncode == 0, result.stdout


def test_planted_violations_are_caught_each_by_its_contract(copy):
    for name, statement, _ in PLANTED:
        path = copy / name
        path.write_text((path.read_text() if path.exists() else "") + f"\n{statement}\n")
    result = lint_imports(copy)
    assert result.returncode != 0
    told = " ".join(result.stdout.split())
    for name, _, contract in PLANTED:
        verdict = re.search(re.escape(contract) + r".*?(KEPT|BROKEN)", told)
        assert verdict is not None
        assert verdict[1] == "BROKEN", f"{name}: {contract}"

"""The README's own lines, run by a shell against a running product."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.product import Product

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """What the lines under "The main job" and those for a new user print."""
    folder = tmp_path_factory.mktemp("readme")
    text = (ROOT / "README.md").read_text().partition("## The main job")[2]
    main_job, new_user = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)[:2]
    with Product(folder / ".scanhop", {"SCANHOP_LOG_LEVEL": "warning"}, "--demo") as product:
        script = (main_job + new_user).replace("http://127.0.0.1:8000", product.api_url)
        script = script.replace("http://127.0.0.1:8080", product.edge_url)
        result = subprocess.run(
            ["bash", "-e", "-c", script], cwd=folder, capture_output=True, text=True, timeout=60, check=False
        )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_the_code_is_created_and_leads_to_its_target(told):
    assert '"short_code":"my-menu"' in told
    assert "location: https://example.com/menu\n" in told.replace("\r", "").lower()


def test_the_scan_is_counted(told):
    assert '"total_scans":1,' in told


def test_the_edit_takes_effect(told):
    assert '"version":2' in told
    assert "location: https://example.com/new-menu\n" in told.replace("\r", "").lower()


def test_a_new_user_gets_a_key(told):
    assert '"api_key":"sh_' in told

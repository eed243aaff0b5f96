"""What `scanhop up` refuses before it starts an engine."""

import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from scanhop.cli.up import _kept_key


def up(folder: Path, **settings: str) -> "subprocess.CompletedProcess[str]":
    clean = {name: value for name, value in os.environ.items() if not name.startswith("SCANHOP_")}
    told = {f"SCANHOP_{name}": value for name, value in settings.items()}
    argv = [sys.executable, "-m", "scanhop", "up", "--data-dir", "data", "--edge-port", "0", "--api-port", "0"]
    return subprocess.run(argv, cwd=folder, env=clean | told, capture_output=True, text=True, timeout=60, check=False)


def test_an_address_for_the_metrics_that_is_taken_is_told_before_an_engine_starts(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        bind = f"127.0.0.1:{taken.getsockname()[1]}"
        result = up(tmp_path, METRICS_BIND=bind)
    assert result.returncode == 1
    assert f"the metrics page cannot listen on {bind}: Address already in use" in result.stderr
    assert "starting_engines" not in result.stderr


@pytest.mark.parametrize("settings", [{}, {"SPOOL_DIR": "elsewhere/spool"}], ids=["in the data", "elsewhere"])
def test_a_spool_that_cannot_be_written_is_told_before_an_engine_starts(tmp_path, settings):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "spool").write_text("no folder")
    (tmp_path / "elsewhere").write_text("no folder")
    result = up(tmp_path, **settings)
    assert result.returncode == 1
    assert "the spool" in result.stderr
    assert "cannot be written" in result.stderr
    assert "starting_engines" not in result.stderr


def test_a_key_is_made_once_and_kept_for_its_owner_alone(tmp_path):
    path = tmp_path / "secret-key"
    key = _kept_key(path)
    assert len(key) >= 16
    assert _kept_key(path) == key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert _kept_key(tmp_path / "other") != key

"""The commands as a user meets them: start, stop, start again, and what goes wrong."""

import os
import pty
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from tests.product import Product, eventually

ROOT = Path(__file__).parents[2]


def scanhop(*arguments: str, cwd: Path, **env: str) -> "subprocess.CompletedProcess[str]":
    clean = {name: value for name, value in os.environ.items() if not name.startswith("SCANHOP_")}
    return subprocess.run(
        [sys.executable, "-m", "scanhop", *arguments],
        cwd=cwd,
        env=clean | env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_data_is_still_there_after_a_restart_and_the_commands_end_well(tmp_path):
    data_dir = tmp_path / "data"
    with Product(data_dir, {"SCANHOP_LOG_LEVEL": "warning"}, "--demo") as first:
        key = (data_dir / "demo-key").read_text().strip()
        with first.api(key) as api:
            code = api.get("/v1/qr-codes").json()["data"][0]
            assert httpx.get(f"{first.edge_url}/r/{code['short_code']}").status_code == 302
            eventually(lambda: _total(api, code) == 1)
        told = "\n".join(first.stdout)
        assert first.admin_key in told
        assert f"curl -i {first.edge_url}/r/demo-" in told
        assert _runs(scanhop("doctor", "--data-dir", "data", cwd=tmp_path))
        assert _runs(scanhop("migrate", "--dry-run", "--data-dir", "data", cwd=tmp_path)).strip() == "nothing to do"
        assert key in _runs(scanhop("seed", "--data-dir", "data", cwd=tmp_path))
        refused = scanhop("up", "--data-dir", "data", "--edge-port", "0", "--api-port", "0", cwd=tmp_path)
        assert refused.returncode == 1
        assert "in use" in refused.stderr
        assert _runs(scanhop("doctor", "--data-dir", "data", cwd=tmp_path)), "a refused start hides the running one"
        assert first.stop(signal.SIGINT) == 0
    with Product(data_dir, {"SCANHOP_LOG_LEVEL": "warning"}, "--demo") as second:
        assert key in "\n".join(second.stdout)
        with second.api(key) as api:
            assert len(api.get("/v1/qr-codes").json()["data"]) == 3
            assert _total(api, code) == 1
        assert httpx.get(f"{second.edge_url}/r/{code['short_code']}").status_code == 302
        assert second.stop(signal.SIGTERM) == 0


def test_after_kill_9_of_everything_the_next_start_goes_on_and_loses_no_scan(tmp_path):
    data_dir = tmp_path / "data"
    first = Product(data_dir, {"SCANHOP_LOG_LEVEL": "warning"}).start()
    with first.api(first.new_account("a@example.com")) as api:
        body = {"name": "a", "type": "url", "target_url": "https://example.com/"}
        code = api.post("/v1/qr-codes", json=body).json()
    for _ in range(50):
        assert httpx.get(code["short_url"]).status_code == 302
    victims = [first.pid, *first.pids()]
    for pid in victims:
        os.kill(pid, signal.SIGKILL)
    first.stop()
    eventually(lambda: not any(_is_alive(pid) for pid in victims))
    with Product(data_dir, {"SCANHOP_LOG_LEVEL": "warning"}) as second:
        eventually(lambda: second.query("SELECT count() FROM qr_scan_events") == [(50,)], 20)
        assert second.query("SELECT sum(events) FROM daily_aggregates") == [(50,)]


def test_every_process_dies_with_up(tmp_path):
    product = Product(tmp_path / "data", {"SCANHOP_LOG_LEVEL": "warning"}).start()
    children = product.pids()
    assert len(children) >= 8
    os.kill(product.pid, signal.SIGKILL)
    product.stop()
    eventually(lambda: not any(_is_alive(pid) for pid in children))


def test_a_port_in_use_is_told(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = scanhop("up", "--edge-port", str(port), "--api-port", "0", cwd=tmp_path)
    assert result.returncode == 1
    assert f"the edge cannot listen on 127.0.0.1:{port}: Address already in use" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("command", ["edge", "api"])
def test_a_single_process_tells_of_a_port_in_use_too(tmp_path, command):
    stores = {"POSTGRES_DSN": "postgresql://x", "REDIS_URL": "redis://x", "CLICKHOUSE_URL": "http://x"}
    with socket.create_server(("127.0.0.1", 0)) as taken:
        bind = f"127.0.0.1:{taken.getsockname()[1]}"
        env = {f"SCANHOP_{name}": value for name, value in stores.items()} | {f"SCANHOP_{command.upper()}_BIND": bind}
        result = scanhop(command, cwd=tmp_path, **env)
    assert result.returncode == 1
    assert f"the {command} cannot listen on {bind}" in result.stderr
    assert "Traceback" not in result.stderr


def test_an_unwritable_data_directory_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    result = scanhop("up", "--data-dir", "file/below", "--edge-port", "0", "--api-port", "0", cwd=tmp_path)
    assert result.returncode == 1
    assert f"the data directory {tmp_path}/file/below cannot be written: Not a directory" in result.stderr


def test_an_unwritable_spool_is_told_by_the_edge_and_by_ingest(tmp_path):
    (tmp_path / "file").write_text("")
    env = {
        "SCANHOP_SPOOL_DIR": str(tmp_path / "file" / "spool"),
        "SCANHOP_POSTGRES_DSN": "postgresql://127.0.0.1:1/x",
    }
    env |= {"SCANHOP_REDIS_URL": "redis://127.0.0.1:1", "SCANHOP_CLICKHOUSE_URL": "http://127.0.0.1:1"}
    for command in ("edge", "ingest"):
        result = scanhop(command, cwd=tmp_path, SCANHOP_EDGE_BIND="127.0.0.1:0", **env)
        assert result.returncode == 1, command
        assert "the spool" in result.stderr
        assert "Traceback" not in result.stderr


def test_an_unknown_variable_and_a_bad_value_are_told_together(tmp_path):
    result = scanhop("up", cwd=tmp_path, SCANHOP_EDGE_WORKRES="2", SCANHOP_IP_STORAGE="some")
    assert result.returncode == 2
    assert "SCANHOP_EDGE_WORKRES: there is no such setting" in result.stderr
    assert "SCANHOP_IP_STORAGE: " in result.stderr


@pytest.mark.parametrize("command", ["edge", "ingest", "api", "worker", "migrate"])
def test_a_process_without_its_stores_names_the_variable(tmp_path, command):
    result = scanhop(command, cwd=tmp_path)
    assert result.returncode == 2
    assert "must be set for this command" in result.stderr
    assert "Traceback" not in result.stderr


def test_the_doctor_finds_what_is_away(tmp_path):
    result = scanhop("doctor", cwd=tmp_path, SCANHOP_REDIS_URL="redis://127.0.0.1:1")
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    assert "wrong" in result.stdout


def test_a_missing_compiler_is_told_before_anything_is_installed(tmp_path):
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("python3", "sh", "make"):
        (tools / name).symlink_to(sys.executable if name == "python3" else str(shutil.which(name)))
    (tmp_path / "edge").mkdir()
    for name in ("Makefile", "pyproject.toml", "setup.py", "constraints.txt", "edge/_hot_path.c"):
        shutil.copy(ROOT / name, tmp_path / name)
    result = subprocess.run(
        ["make", "install"], cwd=tmp_path, env={"PATH": str(tools)}, capture_output=True, text=True, check=False
    )
    assert result.returncode != 0
    assert "needs a C compiler" in result.stderr
    assert not (tmp_path / ".venv").exists()


@pytest.mark.skipif(not (ROOT / ".venv" / "installed").exists(), reason="installed by other means than make")
def test_ctrl_c_in_a_terminal_ends_make_up_with_code_0(tmp_path):
    """A terminal of its own, in which Ctrl-C is typed."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("SCANHOP_", "MAKE", "MFLAGS"))}
    arguments = f"ARGS=--data-dir {tmp_path / 'data'} --edge-port 0 --api-port 0"
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(ROOT)
        os.execvpe("make", ["make", "up", arguments], clean)  # noqa: S606
    _read_until(terminal, b"scanhop ready edge=")
    os.write(terminal, b"\x03")
    _read_until(terminal, b"")
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0


def _read_until(terminal: int, wanted: bytes) -> None:
    """Until `wanted` was printed; an empty one: until the terminal is closed."""
    seen, deadline = b"", time.monotonic() + 90
    while not wanted or wanted not in seen:
        assert time.monotonic() < deadline, seen[-2000:]
        if not select.select([terminal], [], [], 1)[0]:
            continue
        try:
            chunk = os.read(terminal, 65536)
        except OSError:
            chunk = b""
        if not chunk:
            assert not wanted, seen[-2000:]
            return
        seen += chunk


def _runs(result: "subprocess.CompletedProcess[str]") -> str:
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def _total(api: httpx.Client, code: dict[str, str]) -> int:
    return int(api.get(f"/v1/qr-codes/{code['id']}/analytics").json()["total_scans"])


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False

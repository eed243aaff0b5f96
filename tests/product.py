"""The whole product as a user runs it: `scanhop up` in a process of its own, and clients of it."""

import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import clickhouse_connect
import httpx
from dotenv import dotenv_values
from prometheus_client.parser import text_string_to_metric_families

START_TIMEOUT_S = 90


class Product:
    """A running `scanhop up`. Use with `with`, or `start` and `stop`."""

    def __init__(self, data_dir: Path, env: Mapping[str, str] | None = None, *arguments: str) -> None:
        self.data_dir = data_dir
        ports = ["--edge-port", "0", "--api-port", "0"]
        self._argv = [sys.executable, "-m", "scanhop", "up", "--data-dir", str(data_dir), *ports, *arguments]
        clean = {name: value for name, value in os.environ.items() if not name.startswith("SCANHOP_")}
        self._env = {**clean, "PYTHONWARNINGS": "", **(env or {})}
        self.stdout: list[str] = []

    @property
    def log(self) -> str:
        """What all its processes have told."""
        return self._log_path.read_text(errors="replace")

    @property
    def _log_path(self) -> Path:
        return self.data_dir.with_suffix(".log")

    def start(self) -> Self:
        """Until the ready line. Raises AssertionError with the log when it does not come."""
        with self._log_path.open("ab") as stderr:
            self._process = subprocess.Popen(
                self._argv, env=self._env, stdout=subprocess.PIPE, stderr=stderr, text=True, cwd=self.data_dir.parent
            )
        lines: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=self._pump, args=(lines,), daemon=True).start()
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            line = lines.get(timeout=max(0.1, deadline - time.monotonic()))
            assert line is not None, f"it ended with code {self._process.wait()}:\n{self.log[-4000:]}"
            self.stdout.append(line)
            if line.startswith("scanhop ready "):
                break
        addresses = dict(part.split("=", 1) for part in line.split()[2:])
        self.edge_url, self.api_url = addresses["edge"], addresses["api"]
        return self

    def _pump(self, lines: "queue.Queue[str | None]") -> None:
        assert self._process.stdout is not None
        with self._process.stdout as stdout:
            for line in stdout:
                lines.put(line.rstrip("\n"))
        lines.put(None)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def admin_key(self) -> str:
        return (self.data_dir / "admin-key").read_text().strip()

    def variables(self) -> dict[str, str]:
        """What `up` tells other commands: the addresses of the stores among them."""
        found = dotenv_values(self.data_dir / "running.env")
        return {name: value for name, value in found.items() if value}

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        """The exit code."""
        if self._process.poll() is None:
            self._process.send_signal(number)
        return self._process.wait(60)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def api(self, key: str | None = None) -> httpx.Client:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        return httpx.Client(base_url=self.api_url, headers=headers, timeout=20)

    def new_account(self, email: str) -> str:
        """The API key of a new user's workspace."""
        with self.api(self.admin_key) as admin:
            answer = admin.post("/v1/admin/users", json={"email": email})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["api_key"])

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        """Rows from ClickHouse, asked as the product would."""
        client = clickhouse_connect.get_client(dsn=self.variables()["SCANHOP_CLICKHOUSE_URL"])
        try:
            return [tuple(row) for row in client.query(statement).result_rows]
        finally:
            client.close()

    def edge_figure(self, metric: str, label: str) -> float:
        """What the edge's workers together say of themselves: the sample whose label beside `worker` is `label`."""
        page = httpx.get(f"{self.edge_url}/metrics", timeout=20)
        assert page.status_code == 200, page.text
        samples = (sample for family in text_string_to_metric_families(page.text) for sample in family.samples)
        return sum(sample.value for sample in samples if sample.name == metric and label in sample.labels.values())

    def pids(self, *words: str) -> list[int]:
        """Processes below `up` whose command line holds each of `words`."""
        return [pid for pid in descendants(self.pid) if set(words) <= set(_command_line(pid))]


def eventually(probe: Callable[[], bool], within_s: float = 20.0) -> None:
    """Wait until `probe()`; AssertionError when it does not come true."""
    deadline = time.monotonic() + within_s
    while not probe():
        assert time.monotonic() < deadline, f"not within {within_s} s"
        time.sleep(0.05)


def descendants(pid: int) -> Iterator[int]:
    """The processes below that one."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return
    for child in map(int, children):
        yield child
        yield from descendants(child)


def _command_line(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return []

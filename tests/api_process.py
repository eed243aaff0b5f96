"""`scanhop api` as a process of its own, which can be killed and started again at the same address."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

START_TIMEOUT_S = 60


class ApiProcess:
    """Use with `with`, or `start` and `kill`. `variables`: more settings."""

    def __init__(self, postgres_dsn: str, redis_url: str, folder: Path, **variables: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            address = f"127.0.0.1:{listener.getsockname()[1]}"
        self.url = f"http://{address}"
        self._folder = folder
        self._environment = {
            "PATH": os.environ["PATH"],
            "SCANHOP_POSTGRES_DSN": postgres_dsn,
            "SCANHOP_REDIS_URL": redis_url,
            "SCANHOP_CLICKHOUSE_URL": "http://127.0.0.1:9/",
            "SCANHOP_SECRET_KEY": "a-secret-for-all-of-them",
            "SCANHOP_API_BIND": address,
            **variables,
        }

    @property
    def log(self) -> str:
        return self._log_path.read_text(errors="replace")

    @property
    def _log_path(self) -> Path:
        return self._folder / "api.log"

    def start(self) -> Self:
        argv = [sys.executable, "-m", "scanhop", "api"]
        with self._log_path.open("ab") as log:
            self.process = subprocess.Popen(
                argv, env=self._environment, cwd=self._folder, stdout=subprocess.DEVNULL, stderr=log
            )
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._answers():
            assert self.process.poll() is None, self.log
            assert time.monotonic() < deadline, self.log
            time.sleep(0.05)
        return self

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/v1/public/health").is_success
        except httpx.TransportError:
            return False

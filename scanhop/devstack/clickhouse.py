"""The embedded ClickHouse: the child process that runs chDB behind its HTTP front.

Invariants: one process per directory (chDB itself refuses a second); the front listens only when the engine is open
and the database `scanhop` exists.

The engine lies in `directory/engine`, beside the front's pid file. A missing wheel: `StackFailed`.
"""

import http.client
import importlib.util
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

from scanhop.devstack.account import require_ownership
from scanhop.devstack.failure import StackFailed
from scanhop.devstack.stale_process import command_line, end_stale_process
from scanhop.supervisor import ProcessSpec

DATABASE = "scanhop"
MODULE = "scanhop.devstack.clickhouse_front"
PID_FILE = "front.pid"


@dataclass(frozen=True)
class ClickHouseEngine:
    directory: Path
    log_path: Path
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/{DATABASE}"

    def prepare(self) -> None:
        """End a front left behind; its engine locks the directory."""
        if importlib.util.find_spec("chdb") is None:
            raise StackFailed("chDB is not installed: pip install 'scanhop[devstack]', or set SCANHOP_CLICKHOUSE_URL")
        require_ownership(self.directory)
        self.directory.mkdir(mode=0o700, exist_ok=True)
        end_stale_process(self.directory / PID_FILE, self._is_ours, signal.SIGTERM)

    def process_spec(self) -> ProcessSpec:
        return ProcessSpec(
            name="clickhouse",
            argv=[
                *(sys.executable, "-m", MODULE),
                *("--data-dir", str(self.directory), "--port", str(self.port), "--database", DATABASE),
            ],
            env=os.environ | {"TZ": "UTC"},
            is_ready=self._answers,
            log_path=self.log_path,
        )

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2)
        try:
            connection.request("GET", "/ping")
            return connection.getresponse().read() == b"Ok.\n"
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _is_ours(self, pid: int) -> bool:
        arguments = command_line(pid)
        return MODULE in arguments and str(self.directory) in arguments

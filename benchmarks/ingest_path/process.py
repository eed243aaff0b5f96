"""The real `scanhop ingest` on a core of its own, and what it used."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from benchmarks.machine.cores import Cores
from benchmarks.machine.process_tree import cpu_seconds
from scanhop.spool.segment import SEALED

START_S, WORK_S, SETTLED_S = 60.0, 1800.0, 0.02


class IngestProcess:
    """Use with `with`; the spool is empty at its start."""

    def __init__(self, spool: Path, settings: dict[str, str], cores: Cores) -> None:
        self._spool = spool
        self._log = spool.with_suffix(".log")
        self._argv = cores.on_the_server_core([sys.executable, "-m", "scanhop", "ingest"])
        self._env = {name: value for name, value in os.environ.items() if not name.startswith("SCANHOP_")}
        self._env |= settings | {"SCANHOP_SPOOL_DIR": str(spool)}

    def __enter__(self) -> Self:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(self._argv, env=self._env, stderr=log)
        self._wait(lambda: "ingest_started" in self._log.read_text(), START_S)
        before = -1.0
        while (now := self.cpu_seconds()) - before > SETTLED_S:  # the parser of User-Agents is read, salts are there
            before = now
            time.sleep(0.5)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.wait(60)

    def take(self, staged: Path) -> None:
        """The spool directories below `staged`, until all their segments are acknowledged."""
        for directory in staged.iterdir():
            directory.rename(self._spool / directory.name)
        self._wait(lambda: not any(self._spool.glob(f"*/*{SEALED}")), WORK_S)

    def cpu_seconds(self) -> float:
        return cpu_seconds(self._process.pid)

    def memory_bytes(self, what: str) -> int:
        """`VmRSS` now, or `VmHWM`, the most it ever was."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return 1024 * int(re.findall(rf"^{what}:\s+(\d+) kB", status, re.M)[0])

    def _wait(self, probe: Callable[[], bool], within_s: float) -> None:
        deadline = time.monotonic() + within_s
        while not probe():
            if time.monotonic() > deadline or self._process.poll() is not None:
                raise TimeoutError(self._log.read_text()[-2000:])
            time.sleep(0.1)

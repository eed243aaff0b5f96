"""Makes what lies below one path stall for the processes that are told to, and only for them."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SOURCE = Path(__file__).with_suffix(".c")


class StallingDisk:
    """`below`: how the paths begin. `settings`: the environment of the processes that see them stall.

    Raises FileNotFoundError without `cc`.
    """

    def __init__(self, work: Path, below: Path) -> None:
        compiler = shutil.which("cc") or shutil.which("gcc")
        if compiler is None:
            raise FileNotFoundError("cc")
        library, self._flag = work / "stalling_disk.so", work / "stalled"
        subprocess.run([compiler, "-shared", "-fPIC", "-O2", "-o", library, SOURCE, "-ldl"], check=True)
        self.settings = {
            "LD_PRELOAD": str(library),
            "STALL_BELOW": str(below.resolve()),
            "STALL_FLAG": str(self._flag),
        }

    @contextmanager
    def stalled(self) -> Iterator[None]:
        """Until the block ends."""
        os.close(os.open(self._flag, os.O_WRONLY | os.O_CREAT, 0o644))
        try:
            yield
        finally:
            self._flag.unlink()

"""One stack per data directory.

The lock is a kernel file lock: it ends with the process that holds it, however that ends, so a killed run leaves
nothing to clean up. Child processes do not inherit it.
"""

import fcntl
import os
from pathlib import Path

from scanhop.devstack.failure import StackFailed


class DirectoryLock:
    """Taken with `acquire`, which raises StackFailed when another process has it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd: int | None = None

    def acquire(self) -> None:
        if self._fd is not None:
            return
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(fd, 32).decode(errors="replace").strip()
            os.close(fd)
            raise StackFailed(
                f"{self._path.parent} is in use by another running stack (process {holder}); "
                "stop that one, or choose another data directory"
            ) from None
        os.ftruncate(fd, 0)
        os.write(fd, f"{os.getpid()}\n".encode())
        self._fd = fd

    def release(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

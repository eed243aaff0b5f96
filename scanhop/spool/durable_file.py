"""Files and directory entries that a power cut does not take."""

import os
from pathlib import Path

UNFINISHED = ".tmp"


def write_durably(path: Path, data: bytes) -> None:
    """Whole and durable under `path` when it returns. Raises OSError, and then leaves nothing new.

    On a full disk the halves of many files would keep each other from becoming whole; a name that is not durable
    would be taken for one that is. What stood under `path` before stays until the new file takes its place.
    """
    unfinished, replaces = path.with_suffix(UNFINISHED), path.exists()
    try:
        _write_synced(unfinished, data)
        unfinished.rename(path)
        sync_directory(path.parent)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        if not replaces:
            path.unlink(missing_ok=True)
        raise


def _write_synced(path: Path, data: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def make_directory_durably(path: Path, mode: int = 0o777) -> None:
    """With the parents that are missing; durable when it returns. Raises OSError."""
    if path.is_dir():
        return
    make_directory_durably(path.parent)
    path.mkdir(mode, exist_ok=True)
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Makes the names in it durable. Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)

"""How much of the disk the spool uses, and how much of it waits."""

import os
from dataclasses import dataclass
from pathlib import Path

from scanhop.spool.segment import OPEN, SEALED

# Two of the largest segments with their frozen batches; on a small disk a twentieth of it.
RESERVE_BYTES = 64 << 20
RESERVE_SHARE = 20


@dataclass(frozen=True)
class Backlog:
    """Segments that ClickHouse has not accepted yet. `oldest_at`: Unix seconds, None without any."""

    segments: int
    bytes: int
    oldest_at: float | None


def spool_bytes(root: Path) -> int:
    """Bytes in all files of the spool."""
    return sum(stat.st_size for _, stat in _files(root))


def is_disk_low(root: Path) -> bool:
    """Whether the disk has less left than ingest needs to take the spool away: it writes before it deletes."""
    try:
        disk = os.statvfs(root)
    except OSError:
        return False  # the next write tells
    reserve = min(RESERVE_BYTES, disk.f_blocks * disk.f_frsize // RESERVE_SHARE)
    return disk.f_bavail * disk.f_frsize < reserve


def read_backlog(root: Path) -> Backlog:
    waiting = [stat for name, stat in _files(root) if name.endswith((OPEN, SEALED))]
    oldest = min((stat.st_mtime for stat in waiting), default=None)
    return Backlog(len(waiting), sum(stat.st_size for stat in waiting), oldest)


def _files(root: Path) -> list[tuple[str, os.stat_result]]:
    """Files come and go while we look: what has gone, or may not be looked at, is left out."""
    found = []
    for directory in _entries(root):
        if directory.is_dir(follow_symlinks=False):
            for entry in _entries(Path(directory.path)):
                try:
                    found.append((entry.name, entry.stat(follow_symlinks=False)))
                except OSError:
                    continue
    return found


def _entries(path: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(path) as entries:
            return list(entries)
    except OSError:
        return []

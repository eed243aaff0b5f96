"""What a killed writer leaves behind, what stands in a spool's files, and calls that the disk refuses."""

import os
from collections.abc import Callable
from pathlib import Path

from scanhop.spool import SegmentName, SpoolId, SpoolWriter, read_segment
from scanhop.spool.segment import OPEN, SEALED, list_segments


def die(writer: SpoolWriter) -> None:
    """What the kernel does for a killed process: what was written stays, the buffer and the locks go."""
    segment, writer._segment = writer._segment, None
    writer._buffer = []
    writer._syncer.stop()
    if segment is not None:
        os.close(segment.fd)
    os.close(writer._lock_fd)


def payloads(root: Path, spool_id: SpoolId) -> list[bytes]:
    """Every record of a spool directory, sealed or not, in order."""
    found = []
    for name in sorted(list_segments(root, spool_id, SEALED) + list_segments(root, spool_id, OPEN)):
        found += [payload for _, payload in read_segment(file_of(root, name), name).records]
    return found


def file_of(root: Path, name: SegmentName) -> Path:
    sealed = name.path(root, SEALED)
    return sealed if sealed.exists() else name.path(root, OPEN)


def suffixes(root: Path) -> list[str]:
    """The suffixes of all files of the spool but its locks."""
    return sorted(path.suffix for path in root.glob("*/*") if path.suffix != ".lock")


def refuse(error: int) -> Callable[..., None]:
    """Stands for a call that fails with this errno."""

    def fail(*_: object, **__: object) -> None:
        raise OSError(error, os.strerror(error))

    return fail

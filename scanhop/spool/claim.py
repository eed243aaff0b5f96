"""The reading side's hold on a directory.

A claim is an flock on `reader.lock`: of several ingest processes, one works on a directory at a time. While the
writer lives its sealed segments are read; once the writer's lock is free, the writer is dead for good (a directory
is never used again), so the claim's holder may seal the open segment and, in the end, remove the directory.

Where the disk refuses one lock or one rename the rest goes on: taking it away is what gives a full disk room again.
"""

import fcntl
import os
import shutil
from pathlib import Path
from uuid import UUID

from scanhop.spool.durable_file import UNFINISHED
from scanhop.spool.segment import (
    BATCH,
    OPEN,
    READER_LOCK,
    SEALED,
    WRITER_LOCK,
    SegmentName,
    SpoolId,
    list_segments,
)
from scanhop.telemetry.logs import get_logger

_log = get_logger()


class Claim:
    """One claimed directory, until `release()`."""

    def __init__(self, root: Path, spool_id: SpoolId, lock_fd: int) -> None:
        self.root = root
        self.spool_id = spool_id
        self._lock_fd = lock_fd

    @property
    def directory(self) -> Path:
        return self.root / str(self.spool_id)

    def list_waiting(self) -> list[SegmentName]:
        """Sealed segments and frozen batches, oldest first. Seals what a dead writer left open.

        A power cut may leave a batch without its segment: there is no other copy of those scans then.
        """
        if self.is_abandoned():
            for name in list_segments(self.root, self.spool_id, OPEN):
                self._seal(name)
        found = [name for suffix in (SEALED, BATCH) for name in list_segments(self.root, self.spool_id, suffix)]
        return sorted(set(found))

    def _seal(self, name: SegmentName) -> None:
        try:
            name.path(self.root, OPEN).rename(name.path(self.root, SEALED))
        except OSError as error:
            _log.error("segment_not_sealed", segment=str(name), error=str(error))

    def is_abandoned(self) -> bool:
        """Whether the writer is dead."""
        try:
            fd = os.open(self.directory / WRITER_LOCK, os.O_RDWR)
        except FileNotFoundError:
            return True
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        finally:
            os.close(fd)
        return True

    def remove_if_finished(self) -> bool:
        """Remove the directory of a dead writer when nothing in it is of further use."""
        if not self.is_abandoned() or self._holds_work():
            return False
        shutil.rmtree(self.directory, ignore_errors=True)  # another process may be looking in
        return True

    def release(self) -> None:
        os.close(self._lock_fd)

    def _holds_work(self) -> bool:
        """Locks are none, nor is the half of a file that a killed process left."""
        locks = (WRITER_LOCK, READER_LOCK)
        try:
            return any(path.name not in locks and path.suffix != UNFINISHED for path in self.directory.iterdir())
        except FileNotFoundError:  # somebody removed it
            return False


class Refusals:
    """Which directories cannot be claimed, and why, so that it is said once and not at every look."""

    def __init__(self) -> None:
        self._reasons: dict[SpoolId, str] = {}

    def record_refusal(self, spool_id: SpoolId, reason: str) -> None:
        if self._reasons.get(spool_id) != reason:
            self._reasons[spool_id] = reason
            _log.error("spool_not_claimed", spool_id=str(spool_id), error=reason)

    def record_end(self, spool_id: SpoolId) -> None:
        """The directory can be claimed, by whomever, or is gone."""
        if self._reasons.pop(spool_id, None) is not None:
            _log.info("spool_not_refused_any_more", spool_id=str(spool_id))


def claim_directories(root: Path, held: frozenset[SpoolId], refusals: Refusals | None = None) -> list[Claim]:
    """Claim every directory that nobody holds, beside those in `held`. Who looks often keeps the `refusals`."""
    said = Refusals() if refusals is None else refusals
    wanted = (spool_id for spool_id in list_spools(root) if spool_id not in held)
    return [claim for spool_id in wanted if (claim := _try_claim(root, spool_id, said)) is not None]


def list_spools(root: Path) -> list[SpoolId]:
    """The spool directories, oldest first."""
    try:
        names = [path.name for path in root.iterdir() if path.is_dir()]
    except FileNotFoundError:
        return []
    return sorted(SpoolId(UUID(name)) for name in names if _is_uuid(name))


def _try_claim(root: Path, spool_id: SpoolId, refusals: Refusals) -> Claim | None:
    try:
        fd = os.open(root / str(spool_id) / READER_LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    except FileNotFoundError:  # another process has just removed it
        refusals.record_end(spool_id)
        return None
    except OSError as error:
        refusals.record_refusal(spool_id, str(error))
        return None
    refusals.record_end(spool_id)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        is_current = os.fstat(fd).st_nlink > 0
    except BlockingIOError:
        is_current = False
    if not is_current:
        os.close(fd)
        return None
    return Claim(root, spool_id, fd)


def _is_uuid(name: str) -> bool:
    try:
        return str(UUID(name)) == name
    except ValueError:
        return False

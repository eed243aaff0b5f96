"""One import from beginning to end, after those that a killed run left."""

import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from ingest.csv_import.failure import ImportRefused
from ingest.csv_import.load import BatchLoader
from ingest.csv_import.manifest import NAME, Manifest, read_manifest
from ingest.csv_import.plan import Planner, Reading
from scanhop.spool.segment import PARKED
from scanhop.wire.ids import uuid7

DIRECTORY = "imports"
LOCK = "lock"


@dataclass(frozen=True)
class Summary:
    """`imported`: rows that are in ClickHouse now and were not before; `known` were. `resumed`: an earlier run had
    planned it."""

    read: int
    imported: int
    known: int
    rejected: int
    refused: int
    remarks: list[str]
    resumed: bool = False


class Importer:
    """`root` is the folder of imports. Raises ImportRefused, StoreError or OSError."""

    def __init__(self, root: Path, planner: Planner, loader: BatchLoader) -> None:
        self._root = root
        self._planner = planner
        self._loader = loader

    async def run(self, reading: Reading, how: str) -> Summary:
        """`how`: everything beside the file that decides what becomes of its rows."""
        self._root.mkdir(parents=True, exist_ok=True)
        with _only_import(self._root / LOCK):
            fingerprint = _fingerprint(reading, how)
            finished = await self._finish_begun(fingerprint)
            if finished is not None:
                return finished
            directory = self._new_directory()
            manifest = await self._planner.plan(reading, directory, UUID(directory.name), fingerprint)
            return await self._load(directory, manifest, resumed=False)

    async def _finish_begun(self, fingerprint: str) -> Summary | None:
        """Of the very same import, where it was among them."""
        found = None
        for directory in sorted(path for path in self._root.iterdir() if path.is_dir()):
            if not (directory / NAME).exists():
                _clear(directory)
                continue
            manifest = read_manifest(directory)
            summary = await self._load(directory, manifest, resumed=True)
            found = summary if manifest.fingerprint == fingerprint else found
        return found

    async def _load(self, directory: Path, manifest: Manifest, *, resumed: bool) -> Summary:
        loaded = await self._loader.load(directory, manifest)
        return Summary(
            manifest.read,
            loaded.rows,
            manifest.known,
            manifest.rejected,
            loaded.refused,
            manifest.remarks,
            resumed,
        )

    def _new_directory(self) -> Path:
        directory = self._root / str(uuid7(time.time_ns()))
        directory.mkdir(mode=0o700)
        return directory


def _clear(directory: Path) -> None:
    """A plan that was not finished. Batches that ClickHouse refused stay."""
    if not any(directory.glob(f"*{PARKED}")):
        shutil.rmtree(directory)


def _fingerprint(reading: Reading, how: str) -> str:
    """The file as it lies there: its place, size and time of change."""
    path = reading.path.resolve()
    state = path.stat()
    said = (str(path), state.st_size, state.st_mtime_ns, reading, how)
    return hashlib.sha256(repr(said).encode()).hexdigest()


@contextmanager
def _only_import(path: Path) -> Iterator[None]:
    """The kernel lets go of the lock when the process ends."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        raise ImportRefused("another import is running on this data directory") from None
    try:
        yield
    finally:
        os.close(fd)

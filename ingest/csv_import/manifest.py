"""The manifest of an import: which batches there are, durable before the first is sent."""

from pathlib import Path
from uuid import UUID

import msgspec

from ingest.csv_import.failure import ImportRefused
from scanhop.spool.durable_file import write_durably

FORMAT = 1
NAME = "manifest.json"


class PlannedBatch(msgspec.Struct, frozen=True):
    number: int
    batch_id: UUID
    rows: int

    def path(self, directory: Path, suffix: str) -> Path:
        return directory / f"{self.number:08d}{suffix}"


class Manifest(msgspec.Struct, frozen=True):
    """`fingerprint`: of the file and of how it is read. `known`: rows that ClickHouse had when it was planned."""

    format: int
    import_id: UUID
    fingerprint: str
    file: str
    read: int
    rejected: int
    known: int
    remarks: list[str]
    batches: list[PlannedBatch]

    @property
    def rows(self) -> int:
        return sum(batch.rows for batch in self.batches)


def write_manifest(directory: Path, manifest: Manifest) -> None:
    """Durable when it returns. Raises OSError."""
    write_durably(directory / NAME, msgspec.json.encode(manifest))


def read_manifest(directory: Path) -> Manifest:
    """Raises ImportRefused when another version wrote it."""
    try:
        manifest = msgspec.json.decode((directory / NAME).read_bytes(), type=Manifest)
    except msgspec.DecodeError as error:
        raise ImportRefused(f"{directory / NAME} cannot be read: {error}") from error
    if manifest.format != FORMAT:
        raise ImportRefused(f"{directory / NAME} is of another version of scanhop; finish the import with that one")
    return manifest

"""From a file to frozen batches and the manifest that fixes them. Nothing is sent.

Killed before the manifest is there, all of it is done anew.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from uuid import UUID
from zoneinfo import ZoneInfo

from ingest.csv_import.batch_body import build_batch
from ingest.csv_import.codes import Codes, Name
from ingest.csv_import.columns import Columns, find_columns
from ingest.csv_import.derivation import Derivation
from ingest.csv_import.failure import RowRejected
from ingest.csv_import.identity import digest_of
from ingest.csv_import.known_events import KnownEvents
from ingest.csv_import.manifest import FORMAT, Manifest, PlannedBatch, write_manifest
from ingest.csv_import.normalise import CsvScan, normalise
from ingest.csv_import.rejected_rows import RejectedRows, rejected_rows
from ingest.csv_import.row_store import RowStore
from ingest.csv_import.scan_file import FileRow, Form, ScanFile, find_form, open_scan_file
from ingest.csv_import.scan_times import TimeReader
from ingest.frozen_batch import write_batch
from scanhop.spool.segment import BATCH

ROWS_AT_ONCE = 2_000
MAX_ROWS = 50_000
STORE = "rows.sqlite"

Normalised = tuple[FileRow, CsvScan, Name]
OnRead = Callable[[int, int], None]


@dataclass(frozen=True)
class Reading:
    """How a file is to be read; None: to be found out. `mapping`: our columns to theirs."""

    path: Path
    source: str = "csv"
    mapping: dict[str, str] = field(default_factory=dict)
    zone: ZoneInfo | None = None
    time_format: str | None = None
    encoding: str | None = None
    delimiter: str | None = None
    rejected_path: Path | None = None

    @property
    def rejected(self) -> Path:
        return self.rejected_path or self.path.with_name(self.path.name + ".rejected.csv")


class Planner:
    """`on_read` is told how many bytes of how many were read. Raises ImportRefused, StoreError or OSError."""

    def __init__(self, codes: Codes, known: KnownEvents, derivation: Derivation, on_read: OnRead) -> None:
        self._codes = codes
        self._known = known
        self._derivation = derivation
        self._on_read = on_read

    async def plan(self, reading: Reading, directory: Path, import_id: UUID, fingerprint: str) -> Manifest:
        form = find_form(reading.path, reading.encoding, reading.delimiter)
        with open_scan_file(reading.path, form) as file, closing(RowStore(directory / STORE)) as store:
            columns = find_columns(file.header, reading.mapping)
            times = TimeReader(reading.zone, reading.time_format, datetime.now(UTC))
            with rejected_rows(reading.rejected, file.header) as rejected:
                read = await self._read(file, _Cutter(columns, times, rejected), reading.source, store)
                batches, known = await self._freeze(store, directory, import_id)
        (directory / STORE).unlink()
        remarks = _remarks(form, columns, times, reading)
        manifest = Manifest(
            FORMAT, import_id, fingerprint, str(reading.path), read, rejected.count, known, remarks, batches
        )
        write_manifest(directory, manifest)
        return manifest

    async def _read(self, file: ScanFile, cutter: "_Cutter", source: str, store: RowStore) -> int:
        """How many rows there were."""
        read, rows = 0, file.rows()
        while some := list(islice(rows, ROWS_AT_ONCE)):
            read += len(some)
            await self._store(list(cutter.normalise(some, self._codes)), cutter.rejected, source, store)
            self._on_read(file.position, file.size)
        return read

    async def _store(self, scans: Sequence[Normalised], rejected: RejectedRows, source: str, store: RowStore) -> None:
        codes = await self._codes.resolve(name for _, _, name in scans)
        for row, scan, name in scans:
            code = codes[name]
            if code is None:
                rejected.add(row, f"there is no code {name}")
                continue
            digest = digest_of(source, code.qr_id, scan)
            store.add(digest, scan.scanned_at_ms, code, self._derivation.derive(scan))

    async def _freeze(self, store: RowStore, directory: Path, import_id: UUID) -> tuple[list[PlannedBatch], int]:
        """The batches, and how many rows ClickHouse had already."""
        batches: list[PlannedBatch] = []
        known_rows = 0
        for scans in store.batches(MAX_ROWS):
            known = await self._known.find(scans)
            new = [scan for scan in scans if scan.event_id not in known]
            known_rows += len(scans) - len(new)
            if not new:
                continue
            number = len(batches) + 1
            batch = PlannedBatch(number, await self._known.new_batch_id(new), len(new))
            header, body = build_batch(import_id, number, batch.batch_id, new, time.time_ns())
            write_batch(batch.path(directory, BATCH), header, body)
            batches.append(batch)
        return batches, known_rows


class _Cutter:
    """Rows to scans; what cannot be one is put aside with its reason."""

    def __init__(self, columns: Columns, times: TimeReader, rejected: RejectedRows) -> None:
        self._columns = columns
        self._times = times
        self.rejected = rejected

    def normalise(self, rows: Sequence[FileRow], codes: Codes) -> Iterator[Normalised]:
        for row in rows:
            try:
                yield self._normalise(row, codes)
            except RowRejected as error:
                self.rejected.add(row, str(error))

    def _normalise(self, row: FileRow, codes: Codes) -> Normalised:
        if row.fault:
            raise RowRejected(row.fault)
        scan = normalise(self._columns.cut(row.fields), self._times)
        name = codes.name_of(scan.short_code, scan.qr_id)
        if name is None:
            raise RowRejected(f"there is no code {scan.short_code[:80]}")
        return row, scan, name


def _remarks(form: Form, columns: Columns, times: TimeReader, reading: Reading) -> list[str]:
    """What was decided for the user, who may want it otherwise."""
    told = []
    if form.is_guessed:
        told.append(f"not UTF-8: read as {form.encoding}; say --encoding if that is wrong")
    if columns.ignored:
        told.append(f"columns left out: {', '.join(name or '(no name)' for name in columns.ignored)}")
    if times.naive and reading.zone is None:
        told.append(f"{times.naive} times name no zone and were read as UTC; say --timezone if that is wrong")
    if times.ambiguous:
        told.append(
            f"{times.ambiguous} times came twice in {reading.zone}, as the clocks went back: the first was taken"
        )
    return told

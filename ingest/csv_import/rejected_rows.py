"""The rows that were not taken, in a CSV file beside theirs: line, reason, and the row as it was.

It is written under another name and renamed at the end; one of an earlier reading goes, also when nothing is rejected
now. Its rows, mended, can be imported from it: the two columns more are none of ours.
"""

import csv
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TextIO

from ingest.csv_import.scan_file import FileRow

ADDED = ("line", "reason")


class RejectedRows:
    """See `rejected_rows`."""

    def __init__(self, unfinished: Path, header: Sequence[str]) -> None:
        self._unfinished = unfinished
        self._header = header
        self._file: TextIO | None = None
        self.count = 0

    def add(self, row: FileRow, reason: str) -> None:
        self.count += 1
        if self._file is None:
            self._file = self._unfinished.open("w", encoding="utf-8", newline="")
            csv.writer(self._file).writerow([*ADDED, *self._header])
        line = str(row.line) if row.line == row.last_line else f"{row.line}-{row.last_line}"
        csv.writer(self._file).writerow([line, reason, *row.fields])

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


@contextmanager
def rejected_rows(path: Path, header: Sequence[str]) -> Iterator[RejectedRows]:
    """Nothing is left under `path` but what was rejected; what breaks off changes nothing there. Raises OSError."""
    unfinished = path.with_name(path.name + ".tmp")
    with closing(RejectedRows(unfinished, header)) as rejected:
        try:
            yield rejected
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise
    if rejected.count:
        unfinished.rename(path)
    else:
        path.unlink(missing_ok=True)

"""A request's body as it arrives: the statement, and the data of an insert apart from it.

Invariants: the data of an insert never lies in Python's memory whole; its file has no name, so nothing is left over
after a kill. Up to `MEMORY_LIMIT` it is in memory (memfd), beyond that on disk.
"""

import os
import shutil
import tempfile
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from scanhop.devstack.clickhouse_front.failure import TOO_LARGE, refusal
from scanhop.devstack.clickhouse_front.statement import InsertWithData, find_insert_with_data

MEMORY_LIMIT = 32 << 20
STATEMENT_LIMIT = 16 << 20
FIRST_LOOK = 16 << 10


class DataFile:
    """Grows by `write`; `path` can be opened by this process while it is not closed."""

    def __init__(self, spill_directory: Path) -> None:
        self._spill_directory = spill_directory
        self._file: BinaryIO = os.fdopen(os.memfd_create("insert"), "w+b")
        self._in_memory = True
        self._size = 0

    @property
    def path(self) -> str:
        self._file.flush()
        return f"/proc/self/fd/{self._file.fileno()}"

    def write(self, data: bytes | memoryview) -> None:
        self._size += len(data)
        if self._in_memory and self._size > MEMORY_LIMIT:
            self._spill()
        self._file.write(data)

    def close(self) -> None:
        self._file.close()

    def _spill(self) -> None:
        on_disk = tempfile.TemporaryFile(dir=self._spill_directory)  # noqa: SIM115 - closed by close()
        self._file.seek(0)
        shutil.copyfileobj(self._file, on_disk, 1 << 20)
        self._file.close()
        self._file = on_disk
        self._in_memory = False


class StatementBody:
    """Feed it the URL's query and the plain body; then `text` is the statement, or `insert` and `data` are set."""

    def __init__(self, spill_directory: Path) -> None:
        self._spill_directory = spill_directory
        self._buffer = bytearray()
        self._look_at = FIRST_LOOK
        self.insert: InsertWithData | None = None
        self.data: DataFile | None = None

    @property
    def text(self) -> bytes:
        return bytes(self._buffer)

    def feed(self, piece: bytes) -> None:
        """Raises QueryFailed when a statement without insert data grows too long."""
        if self.data is not None:
            self.data.write(piece)
            return
        self._buffer += piece
        if len(self._buffer) >= self._look_at:
            self._look_at = 4 * len(self._buffer)
            self._look(complete=False)
        if self.data is None and len(self._buffer) > STATEMENT_LIMIT:
            raise refusal(TOO_LARGE, "QUERY_IS_TOO_LARGE", "The statement is too long")

    def finish(self) -> None:
        if self.data is None:
            self._look(complete=True)

    def close(self) -> None:
        if self.data is not None:
            self.data.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _look(self, *, complete: bool) -> None:
        insert = find_insert_with_data(self.text)
        # At the very end of an unfinished text a word may go on, or a line break follow.
        if insert is None or (not complete and insert.data_offset + 2 > len(self._buffer)):
            return
        self.insert = insert
        self.data = DataFile(self._spill_directory)
        self.data.write(memoryview(self._buffer)[insert.data_offset :].tobytes())
        self._buffer.clear()

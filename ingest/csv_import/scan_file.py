"""A CSV file as rows of text, read as a stream.

- gzip is known by its first bytes.
- Encoding: what was asked for; else a byte order mark decides (UTF-8, UTF-16, UTF-32). Without one the file is read
  once to see whether it is UTF-8; if not it is taken for Windows-1252, or Latin-1 where it holds bytes that are none
  of Windows-1252's, and `is_guessed` says so.
- Delimiter: what was asked for; else the one of `, ; TAB |` that cuts the first line into the most fields.
- Quotes are double quotes, doubled inside; a quoted field may hold line breaks.
- A field is at most MAX_FIELD long and a line MAX_LINE: a quote that is never closed costs the lines up to there,
  told as one bad row, and not the memory of the machine.

A file that ends early (gzip), or is not in the encoding asked for: ImportRefused.
"""

import codecs
import csv
import gzip
import io
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TextIO, cast

from ingest.csv_import.failure import ImportRefused

MAX_FIELD = 128 << 10
MAX_LINE = 1 << 20
DELIMITERS = (",", ";", "\t", "|")
_PIECE = 1 << 20
_GZIP = b"\x1f\x8b"
# UTF-32's little-endian mark begins with UTF-16's.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_NOT_IN_WINDOWS_1252 = bytes((0x81, 0x8D, 0x8F, 0x90, 0x9D))


@dataclass(frozen=True)
class Form:
    """How the bytes are to be read. `is_guessed`: the encoding is what is left when it is not UTF-8."""

    is_gzip: bool
    encoding: str
    delimiter: str
    is_guessed: bool = False


@dataclass(frozen=True)
class FileRow:
    """`line` to `last_line` of the file, counted from 1. `fault`: why it cannot be cut into fields."""

    line: int
    last_line: int
    fields: Sequence[str]
    fault: str | None = None


class ScanFile:
    """One reading of a file, see `open_scan_file`. `header` is its first row; `position` is how many of its `size`
    bytes were read."""

    def __init__(self, raw: BinaryIO, text: TextIO, delimiter: str, size: int) -> None:
        self._raw = raw
        self._text = text
        self._delimiter = delimiter
        self.size = size
        self._line = 0
        self._began = 0
        self._too_long: list[int] = []
        self._rows = self._read()
        first = next(self._rows, None)
        self.header = [] if first is None else [name.strip() for name in first.fields]

    @property
    def position(self) -> int:
        return self._raw.tell()

    def rows(self) -> Iterator[FileRow]:
        """Those after the header; blank lines are left out. Raises ImportRefused."""
        return self._rows

    def _read(self) -> Iterator[FileRow]:
        csv.field_size_limit(MAX_FIELD)
        reader = csv.reader(self._lines(), delimiter=self._delimiter)
        while True:
            self._began = 0
            fault, fields = None, list[str]()
            try:
                with _told():
                    fields = next(reader)
            except StopIteration:
                yield from self._bad_lines()
                return
            except csv.Error as error:
                fault = _describe(error)
            yield from self._bad_lines()
            if fields or fault:
                yield FileRow(self._began, self._line, fields, fault)

    def _lines(self) -> Iterator[str]:
        while line := self._text.readline(MAX_LINE):
            self._line += 1
            if len(line) < MAX_LINE:
                self._began = self._began or self._line
                yield line
                continue
            while line and not line.endswith(("\n", "\r")):
                line = self._text.readline(MAX_LINE)
            self._too_long.append(self._line)

    def _bad_lines(self) -> Iterator[FileRow]:
        for line in self._too_long:
            yield FileRow(line, line, [], f"a line of more than {MAX_LINE} characters")
        self._too_long.clear()


@contextmanager
def open_scan_file(path: Path, form: Form) -> Iterator[ScanFile]:
    """Raises ImportRefused or OSError."""
    with path.open("rb") as raw, _as_text(raw, form) as text:
        yield ScanFile(raw, text, form.delimiter, path.stat().st_size)


def find_form(path: Path, encoding: str | None = None, delimiter: str | None = None) -> Form:
    """What is not asked for is found out. Raises ImportRefused or OSError."""
    with path.open("rb") as file:
        is_gzip = file.read(2) == _GZIP
    is_guessed = False
    if encoding is None:
        encoding, is_guessed = _find_encoding(path, is_gzip)
    elif not _is_text_encoding(encoding):
        raise ImportRefused(f"there is no encoding {encoding!r}")
    form = Form(is_gzip, encoding, delimiter or ",", is_guessed)
    return form if delimiter else Form(is_gzip, encoding, _find_delimiter(path, form), is_guessed)


def _is_text_encoding(name: str) -> bool:
    try:
        return bool(codecs.lookup(name)._is_text_encoding)  # as open() asks
    except LookupError:
        return False


def _find_encoding(path: Path, is_gzip: bool) -> tuple[str, bool]:
    with path.open("rb") as raw, _told(), _unzipped(raw, is_gzip) as file:
        start = file.read(_PIECE)
        for mark, encoding in _MARKS:
            if start.startswith(mark):
                return encoding, False
        if start.count(0) > len(start) // 4:
            raise ImportRefused("every other byte is 0: UTF-16 without a byte order mark? Say --encoding utf-16-le")
        return _judge_bytes(start, file)


def _judge_bytes(piece: bytes, file: BinaryIO) -> tuple[str, bool]:
    decoder = codecs.getincrementaldecoder("utf-8")()
    is_utf8, is_windows = True, True
    while piece:
        is_windows = is_windows and not any(byte in piece for byte in _NOT_IN_WINDOWS_1252)
        piece_after = file.read(_PIECE)
        try:
            decoder.decode(piece, final=not piece_after)
        except UnicodeDecodeError:
            is_utf8 = False
            decoder.reset()
        piece = piece_after
    if is_utf8:
        return "utf-8", False
    return ("cp1252" if is_windows else "latin-1"), True


def _find_delimiter(path: Path, form: Form) -> str:
    with path.open("rb") as raw, _told(), _as_text(raw, form) as text:
        line = text.readline(MAX_LINE)
    return max(DELIMITERS, key=lambda delimiter: len(next(csv.reader([line], delimiter=delimiter), [])))


def _as_text(raw: BinaryIO, form: Form) -> TextIO:
    return io.TextIOWrapper(_unzipped(raw, form.is_gzip), encoding=form.encoding, newline="")


def _unzipped(raw: BinaryIO, is_gzip: bool) -> BinaryIO:
    return cast("BinaryIO", gzip.GzipFile(fileobj=raw)) if is_gzip else raw


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except UnicodeError as error:
        raise ImportRefused(f"not in the encoding that was asked for: {error}") from error
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ImportRefused(f"damaged gzip: {error}") from error


def _describe(error: csv.Error) -> str:
    if "field larger than field limit" in str(error):
        return f"a field of more than {MAX_FIELD} characters: a quote that is never closed?"
    return str(error)

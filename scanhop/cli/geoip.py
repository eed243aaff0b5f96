"""`scanhop geoip fetch`: brings the database at SCANHOP_GEOIP_URL to SCANHOP_GEOIP_PATH.

What is there may be a database, a gzipped one, or a gzipped tar archive that holds one, as MaxMind and npm pack them;
its content says which, not its name. The new database takes the place of the old one by a rename, once it is whole,
was opened and tells places: whatever fails before, the old one stays as it is, and the processes that read it go on.
Nothing an archive says decides where a byte is written, but for the plain name of the database where the path is a
folder. Sizes are bounded. An address may hold a user and a password; they are sent to its own host only, and neither
they nor its query are ever shown.
"""

import fcntl
import gzip
import os
import re
import shutil
import tarfile
import tempfile
import zlib
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPException, HTTPResponse
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Protocol, cast
from urllib.error import HTTPError, URLError
from urllib.parse import unquote, urlsplit
from urllib.request import Request, urlopen

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from scanhop.client_facts.geo import BrokenDatabase, describe_database
from scanhop.spool.durable_file import sync_directory

MAX_BYTES = 2 << 30  # of what is downloaded, and of all that is unpacked
TIMEOUT_S = 30.0
_CHUNK = 1 << 16
_UNFINISHED = ".geoip-"
_GZIP = b"\x1f\x8b"
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*\.mmdb")


class FetchFailed(Exception):
    """The message says from where, and why."""


class Readable(Protocol):
    """What bytes come from."""

    def read(self, size: int, /) -> bytes: ...


def fetch_geoip(url: str, path: Path) -> str:
    """What was fetched, in words. Raises FetchFailed; then the old database is still there."""
    try:
        return _fetch(url, path)
    except (OSError, HTTPException, EOFError, zlib.error, tarfile.TarError, BrokenDatabase, _Refused) as error:
        raise FetchFailed(f"{without_secrets(url)}: {_reason(error)}") from error


def without_secrets(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


class _Refused(Exception):
    """What came is not what is wanted."""


def _reason(error: Exception) -> str:
    if isinstance(error, HTTPError):
        error.close()  # it is the answer, too
        return f"answered {error.code} {error.reason}"
    if isinstance(error, URLError):
        return str(error.reason)
    if isinstance(error, EOFError | zlib.error | tarfile.TarError):
        return f"the archive is damaged: {error}"
    return str(error) or type(error).__name__


def _fetch(url: str, path: Path) -> str:
    folder = path if path.is_dir() else path.parent
    folder.mkdir(parents=True, exist_ok=True)
    with _cleared(folder), tempfile.TemporaryDirectory(prefix=_UNFINISHED, dir=folder) as name:
        download, database = Path(name, "download"), Path(name, "database")
        _download(url, download)
        found = _unpack(download, database) or _name_in(url)
        description = describe_database(database)
        target = path / found if path.is_dir() else path
        _put_in_place(database, target)
    return f"{target}: {description}"


@contextmanager
def _cleared(folder: Path) -> Iterator[None]:
    """Without what killed runs left in it. A run holds a lock on the folder, so that no other takes it for dead."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with suppress(OSError):  # another is at work; or a file system without such locks
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for left in folder.glob(f"{_UNFINISHED}*"):
                shutil.rmtree(left, ignore_errors=True)
        with suppress(OSError):
            fcntl.flock(fd, fcntl.LOCK_SH)
        yield
    finally:
        os.close(fd)


def _download(url: str, target: Path) -> None:
    with urlopen(_request(url), timeout=TIMEOUT_S) as answer, target.open("wb") as file:  # noqa: S310 - the settings allow http and https only
        size = _length(answer)
        if size is not None and size > MAX_BYTES:
            raise _Refused(f"it is larger than {MAX_BYTES} bytes")
        done = _copy(_Bounded(answer), file, PurePosixPath(urlsplit(url).path).name, size)
    if size not in (None, done):
        raise _Refused(f"it ended after {done} of {size} bytes")


def _request(url: str) -> Request:
    """User and password as a header, which is not sent to wherever the host leads on."""
    parts = urlsplit(url)
    credentials, _, host = parts.netloc.rpartition("@")
    request = Request(parts._replace(netloc=host).geturl(), headers={"User-Agent": "scanhop"})  # noqa: S310
    if credentials:
        token = b64encode(unquote(credentials).encode()).decode()
        request.add_unredirected_header("Authorization", f"Basic {token}")
    return request


def _length(answer: HTTPResponse) -> int | None:
    text = answer.headers.get("Content-Length") or ""
    return int(text) if text.isascii() and text.isdigit() else None


def _copy(source: Readable, target: BinaryIO, title: str, total: int | None) -> int:
    """Shows a bar on a terminal. The number of bytes."""
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    console, done = Console(stderr=True), 0
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task(title, total=total)
        while chunk := source.read(_CHUNK):
            done += target.write(chunk)
            progress.update(task, completed=done)
    return done


def _unpack(download: Path, target: Path) -> str | None:
    """The name of the database in an archive; None where it came without one."""
    with download.open("rb") as file:
        if file.read(len(_GZIP)) != _GZIP:
            download.rename(target)
            return None
        file.seek(0)
        stream = gzip.GzipFile(fileobj=file)
        is_tar = stream.read(tarfile.BLOCKSIZE)[257:262] == b"ustar"
        stream.seek(0)
        if is_tar:
            return _unpack_tar(_Bounded(stream), target)
        _write(_Bounded(stream), target)
    return None


def _unpack_tar(stream: Readable, target: Path) -> str:
    names = []
    with tarfile.open(fileobj=cast("BinaryIO", stream), mode="r|") as archive:  # it only reads
        for member in archive:
            name = PurePosixPath(member.name).name
            content = archive.extractfile(member) if member.isreg() and _NAME.fullmatch(name) else None
            if content is not None:
                names.append(name)
                _write(content, target)
    if len(names) != 1:
        raise _Refused(f"the archive must hold one .mmdb file, and holds {', '.join(names) or 'none'}")
    return names[0]


class _Bounded:
    """Reads no more than MAX_BYTES: a small archive may unpack to anything."""

    def __init__(self, stream: Readable) -> None:
        self._stream = stream
        self._left = MAX_BYTES

    def read(self, size: int, /) -> bytes:
        taken = self._stream.read(size)
        self._left -= len(taken)
        if self._left < 0:
            raise _Refused(f"it is larger than {MAX_BYTES} bytes")
        return taken


def _write(source: Readable, target: Path) -> None:
    with target.open("wb") as file:
        while chunk := source.read(_CHUNK):
            file.write(chunk)


def _name_in(url: str) -> str:
    """Of an address that names a database, its name."""
    name = PurePosixPath(urlsplit(url).path).name.removesuffix(".gz")
    return name if _NAME.fullmatch(name) else "fetched.mmdb"


def _put_in_place(database: Path, target: Path) -> None:
    """Durable when it returns."""
    database.chmod(0o644)  # the edge and ingest may run as other users
    fd = os.open(database, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
    database.rename(target)
    sync_directory(target.parent)

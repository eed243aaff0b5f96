"""What the workers remember of routes and domains, on the local disk: for a start while no store can be asked.

Each worker writes `DATA_DIR/routes/<worker>.snapshot` once a minute where it differs from the last one, and when it
drains. At its start a worker reads the snapshots of all; of each code the newest version counts. What comes from a
snapshot is stale: it answers only while neither Redis nor Postgres can be asked.

A file is a head (magic, format) and blocks: kind (u8), entries (u32), length (u32), CRC-32 of these and of the
payload, then the payload. Kinds: the domains as `wire.domains` encodes them; codes, as a MessagePack array of key and
encoded route in turns, those first that were looked up last; the end, whose entries are the codes of the file.

Invariants:
- A snapshot under its name is whole: it is written under another one, synced, then renamed.
- The loop is held once to list the codes (8 ms for 100,000), then for a block at a time, less than a millisecond; a
  thread does what waits for the disk.
- Bounded: MAX_ROUTES codes and MAX_BYTES a file, LOAD_S to read them all.

A disk that refuses is logged once, until it takes a snapshot again. Of a file that is damaged or cut off the blocks
before the damage count, of one in another format none; both are logged once, and the worker starts.
"""

import asyncio
import contextlib
import os
import struct
import time
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

import msgspec

from edge.domains import Domains
from edge.local_cache import MAX_KNOWN, LocalCache
from edge.resolver import BuildEntry
from scanhop.spool.durable_file import sync_directory
from scanhop.telemetry.logs import get_logger
from scanhop.wire.domains import Domain, decode_domains, encode_domains
from scanhop.wire.route import decode_route

SAVE_S = 60.0
LOAD_S = 10.0
MAX_ROUTES = MAX_KNOWN
MAX_BYTES = 128 << 20
BLOCK_ROUTES = 1000
BLOCK_BYTES = 256 << 10
MAX_BLOCK_BYTES = 16 << 20
LEFTOVER_S = 3600.0
SUFFIX = ".snapshot"
UNFINISHED = ".unfinished"

_MAGIC = b"scanhop routes\n"
_FORMAT = 1
_FILE_HEAD = struct.Struct(f">{len(_MAGIC)}sB")
_BLOCK_HEAD = struct.Struct(">BII")
_CRC = struct.Struct(">I")
_DOMAINS, _CODES, _END = 1, 2, 3
_VERSIONED_HEAD = 9  # bytes of a route: format and version, which compare as they are
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[bytes])
_log = get_logger()


class SnapshotDamaged(Exception):
    """The file is none, or ends or differs from what was written; the message says how."""


class Block(NamedTuple):
    """One of a file that was read; its checksum was right."""

    kind: int
    entries: int
    payload: bytes


class RouteSnapshot:
    """The snapshot of one worker of `workers`."""

    def __init__(self, folder: Path, worker: int, workers: int, cache: LocalCache, domains: Domains) -> None:
        self._folder = folder
        self._worker = worker
        self._workers = workers
        self._cache = cache
        self._domains = domains
        self._stopping = asyncio.Event()
        self._saved: int | None = None
        self._is_in_trouble = False

    async def keep(self) -> None:
        """Runs until `stop`, and saves once more then."""
        while not self._stopping.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SAVE_S):
                    await self._stopping.wait()
            await self.save()

    def stop(self) -> None:
        self._stopping.set()

    async def save(self) -> None:
        """Where it differs from the last one."""
        keys = list(reversed(self._cache.known))
        fingerprint = await self._fingerprint(keys)
        if fingerprint == self._saved:
            return
        try:
            await self._write(keys)
        except OSError as error:
            if not self._is_in_trouble:
                _log.warning("snapshot_not_saved", folder=str(self._folder), error=str(error))
            self._is_in_trouble = True
            return
        if self._saved is None and self._worker == 0:
            await asyncio.to_thread(_tidy, self._folder, self._workers)
        self._saved, self._is_in_trouble = fingerprint, False

    async def _fingerprint(self, keys: Sequence[bytes]) -> int:
        """The same for the same routes and domains in whatever order."""
        total = hash(frozenset(self._domains.custom.values()))
        for start in range(0, len(keys), BLOCK_ROUTES):
            entries = map(self._cache.known.get, keys[start : start + BLOCK_ROUTES])
            total += sum(hash(entry.raw) for entry in entries if entry is not None)
            await asyncio.sleep(0)
        return total

    async def _write(self, keys: Sequence[bytes]) -> None:
        """Raises OSError."""
        file = await asyncio.to_thread(_UnfinishedFile, self._folder / f"{self._worker}{SUFFIX}")
        try:
            await asyncio.to_thread(file.write, _FILE_HEAD.pack(_MAGIC, _FORMAT))
            for block in self._blocks(keys):
                await asyncio.to_thread(file.write, block)
            await asyncio.to_thread(file.put_in_place)
        except OSError:
            await asyncio.to_thread(file.discard)
            raise

    def _blocks(self, keys: Sequence[bytes]) -> Iterator[bytes]:
        custom = list(self._domains.custom.values())
        yield encode_block(_DOMAINS, len(custom), encode_domains(custom))
        codes = size = 0
        for entries, payload in self._code_blocks(keys):
            size += len(payload)
            if size > MAX_BYTES:
                break
            codes += entries
            yield encode_block(_CODES, entries, payload)
        yield encode_block(_END, codes, b"")

    def _code_blocks(self, keys: Sequence[bytes]) -> Iterator[tuple[int, bytes]]:
        known = self._cache.known
        block: list[bytes] = []
        size = 0
        for key in keys:
            entry = known.get(key)
            if entry is None:
                continue
            block += (key, entry.raw)
            size += len(entry.raw)
            if size >= BLOCK_BYTES or len(block) >= 2 * BLOCK_ROUTES:
                yield len(block) // 2, _encoder.encode(block)
                block, size = [], 0
        yield len(block) // 2, _encoder.encode(block)


class _UnfinishedFile:
    """A file under another name, until it is whole. Everything here may wait for the disk, and raise OSError."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._unfinished = path.with_name(f"{path.stem}-{os.getpid()}{UNFINISHED}")
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        fd = os.open(self._unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        self._file = os.fdopen(fd, "wb")

    def write(self, data: bytes) -> None:
        self._file.write(data)

    def put_in_place(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._unfinished.rename(self._path)
        sync_directory(self._path.parent)

    def discard(self) -> None:
        with contextlib.suppress(OSError):
            self._file.close()
        with contextlib.suppress(OSError):
            self._unfinished.unlink()


def encode_block(kind: int, entries: int, payload: bytes) -> bytes:
    head = _BLOCK_HEAD.pack(kind, entries, len(payload))
    return b"".join((head, _CRC.pack(zlib.crc32(payload, zlib.crc32(head))), payload))


def read_blocks(path: Path) -> Iterator[Block]:
    """In their order, without the end. Raises SnapshotDamaged, OSError."""
    with path.open("rb") as file:
        if file.read(_FILE_HEAD.size) != _FILE_HEAD.pack(_MAGIC, _FORMAT):
            raise SnapshotDamaged("it is no snapshot, or in another format")
        codes = 0
        while (block := _read_block(file)).kind != _END:
            codes += block.entries if block.kind == _CODES else 0
            yield block
        if codes != block.entries or file.read(1):
            raise SnapshotDamaged("it does not hold what its end says")


def _read_block(file: BinaryIO) -> Block:
    head = file.read(_BLOCK_HEAD.size + _CRC.size)
    if len(head) < _BLOCK_HEAD.size + _CRC.size:
        raise SnapshotDamaged("it is cut off")
    kind, entries, length = _BLOCK_HEAD.unpack_from(head)
    (crc,) = _CRC.unpack_from(head, _BLOCK_HEAD.size)
    payload = file.read(min(length, MAX_BLOCK_BYTES))
    if zlib.crc32(payload, zlib.crc32(head[: _BLOCK_HEAD.size])) != crc:
        raise SnapshotDamaged("a checksum is wrong, or it is cut off")
    return Block(kind, entries, payload)


class _Found:
    """What the files hold: of each code the newest version, the domains of the newest file that has some."""

    def __init__(self) -> None:
        self.routes: dict[bytes, bytes] = {}
        self.domains: list[Domain] | None = None
        self._bytes = 0

    def take(self, block: Block) -> None:
        if block.kind == _DOMAINS and self.domains is None:
            self.domains = decode_domains(block.payload)
        elif block.kind == _CODES:
            items = iter(_decoder.decode(block.payload))
            for key, raw in zip(items, items, strict=True):
                self._take_route(key, raw)

    def _take_route(self, key: bytes, raw: bytes) -> None:
        held = self.routes.get(key)
        if held is None:
            is_wanted = len(self.routes) < MAX_ROUTES and self._bytes < MAX_BYTES
        else:
            is_wanted = held[:_VERSIONED_HEAD] < raw[:_VERSIONED_HEAD]
        if is_wanted:
            self.routes[key] = raw
            self._bytes += len(raw)


def restore(folder: Path, cache: LocalCache, domains: Domains, build_entry: BuildEntry) -> int:
    """Puts what the snapshots in `folder` hold into the cache, stale, and the domains in place. How many codes."""
    started = time.monotonic()
    found = _Found()
    files = _newest_first(folder)
    for path in files:
        _take_file(path, found, started + LOAD_S)
    if found.domains is not None:
        domains.replace(found.domains)
    for key in reversed(found.routes):  # the first to be dropped is stored first
        raw = found.routes[key]
        route = decode_route(raw)
        if route is not None:
            cache.store(key, build_entry(key, raw, route, 0.0))
    if files:
        taken_s = round(time.monotonic() - started, 3)
        _log.info("snapshots_read", files=len(files), codes=len(found.routes), seconds=taken_s)
    return len(found.routes)


def _take_file(path: Path, found: _Found, deadline: float) -> None:
    try:
        for block in read_blocks(path):
            found.take(block)
            if time.monotonic() > deadline:
                _log.warning("snapshot_not_read_on", path=str(path), error="it takes too long")
                return
    except (SnapshotDamaged, OSError, ValueError, msgspec.DecodeError) as error:
        _log.warning("snapshot_damaged", path=str(path), error=str(error))


def _newest_first(folder: Path) -> list[Path]:
    files: list[tuple[float, Path]] = []
    with contextlib.suppress(OSError):
        for path in folder.glob(f"*{SUFFIX}"):
            with contextlib.suppress(OSError):
                files.append((path.stat().st_mtime, path))
    return [path for _, path in sorted(files, reverse=True)]


def _tidy(folder: Path, workers: int) -> None:
    """Takes away what nobody writes any more: snapshots of workers that are no longer, and what killed ones left."""
    for path in folder.iterdir():
        with contextlib.suppress(OSError, ValueError):
            is_left = path.suffix == UNFINISHED and path.stat().st_mtime < time.time() - LEFTOVER_S
            if is_left or (path.suffix == SUFFIX and int(path.stem) >= workers):
                path.unlink()

"""Ingest's real collector over a spool, a warehouse that deduplicates by token as ClickHouse does, sudden death."""

import asyncio
import itertools
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from functools import cache
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch
from uuid import UUID

from ingest.collector import Collector
from ingest.enrichment import Enrichment
from ingest.freezer import Freezer
from ingest.frozen_batch import BatchHeader
from ingest.visitors import Visitors
from scanhop.spool import SpoolWriter
from scanhop.spool.frame import FRAME_HEAD, find_frame
from scanhop.wire.scan_record import Outcome, decode_scan, encode_headers, encode_route_prefix, encode_scan
from tests.routes import new_route
from tests.unit.ingest.native_decoder import rows_of

_seconds = itertools.count(1_800_000_000 * 10**9, 10**9)  # a batch that is made anew differs from what it was
CALLS = ("os.rename", "os.unlink", "os.rmdir", "os.fsync")


class Killed(BaseException):
    """The process is no more."""


class Warehouse:
    """Stands where the Loader stands. `rows`: the event id of each nonce, as accepted. `again`: tokens that came
    twice."""

    def __init__(self) -> None:
        self.sent: dict[str, bytes] = {}
        self.rows: dict[int, UUID] = {}
        self.again: set[str] = set()

    def copy(self) -> "Warehouse":
        """As it is now."""
        copied = Warehouse()
        copied.sent, copied.rows = dict(self.sent), dict(self.rows)
        return copied

    async def load(self, header: BatchHeader, body: bytes) -> None:
        if header.token in self.sent:
            self.again.add(header.token)
        else:
            self._accept(header, body)
        assert self.sent[header.token] == body, "the same batch was made twice, and differs"

    def _accept(self, header: BatchHeader, body: bytes) -> None:
        found = rows_of(body)
        assert len(found) == header.rows
        self.sent[header.token] = body
        for row in found:
            nonce = int(bytes(row["referer"]).split(b"|")[0])
            assert nonce not in self.rows, "a scan has two rows"
            self.rows[nonce] = row["event_id"]


class MortalWarehouse(Warehouse):
    """The process may be killed before the batch arrives, and before the answer does."""

    def __init__(self, step: Callable[[], None]) -> None:
        super().__init__()
        self._step = step

    async def load(self, header: BatchHeader, body: bytes) -> None:
        self._step()
        await super().load(header, body)
        self._step()


class Life:
    """How many more calls the process lives to make: once it is dead it makes none. None: for ever."""

    def __init__(self) -> None:
        self.left: int | None = None

    def step(self) -> None:
        if self.left is None:
            return
        if self.left == 0:
            raise Killed
        self.left -= 1

    @contextmanager
    def ends_after(self, calls: int | None) -> Iterator[None]:
        """Swallows the death."""
        self.left = calls
        patches = [patch(name, self._counted(name)) for name in CALLS]
        for each in patches:
            each.start()
        try:
            yield
        except Killed:
            pass
        finally:
            for each in patches:
                each.stop()
            self.left = None

    def _counted(self, name: str) -> Callable[..., object]:
        call = getattr(os, name.removeprefix("os."))

        def counted(*arguments: object, **options: object) -> object:
            self.step()
            return call(*arguments, **options)

        return counted


class Frame(NamedTuple):
    """A sound frame of a segment: [start, end) of the file."""

    number: int
    nonce: int
    start: int
    end: int


def frames(segment: Path) -> list[Frame]:
    found, data, at = [], segment.read_bytes(), 0
    while (place := find_frame(data, at)) is not None:
        start, at, number = place
        found.append(Frame(number, nonce_of(data[start + FRAME_HEAD.size : at]), start, at))
    return found


def nonce_of(payload: bytes) -> int:
    return int(decode_scan(payload).headers[b"referer"].split(b"|")[0])


def new_collector(root: Path, warehouse: Warehouse) -> Collector:
    async def read_salts() -> Mapping[date, bytes]:
        return {}

    return Collector(root, Freezer(root, _enrichment(), _seconds.__next__), warehouse, Visitors(read_salts))


def let_die(collector: Collector) -> None:
    """What the kernel does for a killed process."""
    for claim in collector._claims.values():
        claim.release()
    collector._claims = {}


def collect(loop: asyncio.AbstractEventLoop, collector: Collector) -> int:
    return loop.run_until_complete(collector.collect())


def scan_with(nonce: int, tail: bytes, at_ns: int) -> bytes:
    """The record of a scan whose Referer begins with the nonce."""
    headers = encode_headers([(b"referer", b"%d|" % nonce + tail)])
    return encode_scan(_prefix(), at_ns, Outcome.REDIRECT, b"\xc0\x00\x02\x07", headers)


def append_scan(writer: SpoolWriter, nonce: int, tail: bytes = b"") -> bool:
    at_ns = writer.now_ns()
    return writer.append(scan_with(nonce, tail, at_ns), at_ns=at_ns)


@cache
def _prefix() -> bytes:
    return encode_route_prefix(new_route())


@cache
def _enrichment() -> Enrichment:
    """Slow to make; holds nothing of a test's."""

    async def no_salts() -> Mapping[date, bytes]:
        return {}

    return Enrichment(Visitors(no_salts), (), "none")

"""Writers that are closed when their test ends."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from scanhop.spool import SpoolLimits, SpoolWriter
from tests.unit.spool.crashes import die

NOON = 1_800_014_400_000_000_000  # 2027-01-15, 12:00 UTC


class Clock:
    """Stands still until it is told to move."""

    def __init__(self) -> None:
        self.ns = NOON

    def __call__(self) -> int:
        return self.ns


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def open_writer(spool_root: Path, clock: Clock) -> Iterator[Callable[..., SpoolWriter]]:
    """Opens a writer on `spool_root`; keywords are fields of SpoolLimits."""
    opened: list[SpoolWriter] = []

    def open_one(**limits: float) -> SpoolWriter:
        usual = {"max_bytes": 1 << 30, "fsync_interval_s": 60, "max_age_s": 3600}
        writer = SpoolWriter(spool_root, SpoolLimits(**(usual | limits)), clock)
        opened.append(writer)
        return writer

    yield open_one
    for writer in opened:
        if writer._syncer.is_alive():
            die(writer)


@pytest.fixture
def numbered() -> Iterator[bytes]:
    """Payloads that differ."""
    return (f"record {number}".encode() for number in itertools.count())

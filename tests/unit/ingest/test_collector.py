"""The collector's own decisions; tests/integration/ingest has it with a real ClickHouse."""

import asyncio
import errno
import os
import struct
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zlib import crc32

import pytest

from ingest.collector import Collector
from ingest.enrichment import Enrichment
from ingest.freezer import Freezer
from ingest.frozen_batch import BatchHeader
from ingest.visitors import Visitors
from scanhop.spool import SegmentName, SpoolLimits, SpoolWriter
from scanhop.spool.segment import ACKED, BATCH, PARKED, SEALED
from scanhop.stores.errors import StoreRejected, StoreUnavailable
from tests.routes import new_route, write_scan


class Warehouse:
    """Stands where the Loader stands: takes batches, or fails as it is told to."""

    def __init__(self) -> None:
        self.taken: list[BatchHeader] = []
        self.failures: list[Exception] = []

    async def load(self, header: BatchHeader, body: bytes) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.taken.append(header)


@pytest.fixture
def warehouse() -> Warehouse:
    return Warehouse()


@pytest.fixture
def collector(spool_root: Path, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> Collector:
    async def read_salts() -> Mapping[date, bytes]:
        today = datetime.now(UTC).date()
        return {today + timedelta(days=days): bytes(32) for days in (-1, 0, 1)}

    monkeypatch.setattr("ingest.collector.RETRY_PAUSES_S", (0.001,))
    visitors = Visitors(read_salts)
    return Collector(spool_root, Freezer(spool_root, Enrichment(visitors, (), "none")), warehouse, visitors)


@pytest.fixture
def spool(spool_root: Path):
    writer = SpoolWriter(spool_root, SpoolLimits(1 << 30, fsync_interval_s=60, max_age_s=0))
    yield writer
    writer.close()


def seal_one(spool: SpoolWriter, root: Path) -> SegmentName:
    write_scan(spool, new_route())
    spool.seal_if_due()
    return SegmentName(spool.spool_id, len(list(root.glob(f"*/*{SEALED}"))))


def become_newer(path: Path) -> None:
    """As if a newer version had written this segment."""
    data = path.read_bytes()
    head = data[:8] + struct.pack("<H", 99) + data[10:38]
    path.write_bytes(head + struct.pack("<I", crc32(head)) + data[42:])


async def test_segments_are_taken_in_order(collector, spool, spool_root, warehouse):
    for _ in range(3):
        seal_one(spool, spool_root)
    assert await collector.collect() == 3
    assert [header.segment for header in warehouse.taken] == [1, 2, 3]


async def test_a_segment_of_a_newer_version_waits_and_the_others_go_on(collector, spool, spool_root, warehouse):
    newer, known = seal_one(spool, spool_root), seal_one(spool, spool_root)
    become_newer(newer.path(spool_root, SEALED))
    assert await collector.collect() == 1
    assert await collector.collect() == 0
    assert [header.segment for header in warehouse.taken] == [known.number]
    assert newer.path(spool_root, SEALED).exists()


async def test_a_segment_waits_while_the_disk_refuses_its_frozen_file(
    collector, spool, spool_root, warehouse, monkeypatch
):
    name = seal_one(spool, spool_root)
    monkeypatch.setattr("ingest.collector.WAIT_S", 0)

    def refuse(fd: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", refuse)
        assert await collector.collect() == 0
    assert name.path(spool_root, SEALED).exists()
    assert not name.path(spool_root, BATCH).exists()
    assert await collector.collect() == 1
    assert len(warehouse.taken) == 1


async def test_a_segment_that_waits_is_not_tried_in_every_round(collector, spool, spool_root, monkeypatch):
    seal_one(spool, spool_root)
    tries = []

    def refuse(fd: int) -> None:
        tries.append(fd)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    for _ in range(5):
        assert await collector.collect() == 0
    assert len(tries) == 1


async def test_a_damaged_batch_is_parked_and_never_made_anew(collector, spool, spool_root, warehouse):
    name = seal_one(spool, spool_root)
    warehouse.failures = [StoreRejected("stop here")]
    await collector.collect()
    parked = name.path(spool_root, PARKED)
    batch = parked.rename(name.path(spool_root, BATCH))
    batch.write_bytes(batch.read_bytes()[:-1])
    await collector.collect()
    assert parked.exists()
    assert await collector.collect() == 0
    assert warehouse.taken == []


async def test_an_unavailable_store_gets_the_same_batch_again(collector, spool, spool_root, warehouse):
    name = seal_one(spool, spool_root)
    warehouse.failures = [StoreUnavailable("away")] * 3
    assert await collector.collect() == 1
    assert name.path(spool_root, ACKED).exists()
    assert len(warehouse.taken) == 1


async def test_a_stop_ends_the_retries_and_leaves_the_batch(collector, spool, spool_root, warehouse, monkeypatch):
    name = seal_one(spool, spool_root)
    monkeypatch.setattr("ingest.collector.RETRY_PAUSES_S", (60,))
    monkeypatch.setattr("ingest.collector.DRAIN_S", 0.05)
    warehouse.failures = [StoreUnavailable("away")] * 100
    running = asyncio.create_task(collector.run())
    await asyncio.sleep(0.1)
    collector.stop()
    await asyncio.wait_for(running, 2)
    assert name.path(spool_root, BATCH).exists()
    assert name.path(spool_root, SEALED).exists()


async def test_a_directory_that_somebody_removed_stops_nobody(collector, spool, spool_root, warehouse):
    seal_one(spool, spool_root)
    await collector.collect()
    other = SpoolWriter(spool_root, SpoolLimits(1 << 30, fsync_interval_s=60, max_age_s=0))
    other.close()
    directory = spool_root / str(other.spool_id)
    for path in directory.iterdir():
        path.unlink()
    directory.rmdir()
    seal_one(spool, spool_root)
    assert await collector.collect() == 1


async def test_a_segment_with_nothing_usable_is_dropped_and_its_records_are_set_aside(collector, spool, spool_root):
    spool.append(b"no record", at_ns=spool.now_ns())
    spool.flush()
    spool.seal_if_due()
    await collector.collect()
    assert sorted(path.suffix for path in spool_root.glob("*/0*")) == [".rejected"]

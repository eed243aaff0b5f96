"""The collector's own decisions; tests/integration/ingest has it with a real ClickHouse."""

import asyncio
import errno
import os
import struct
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zlib import crc32

import pytest

from ingest.backoff import Backoff
from ingest.collector import REFUSALS_TO_PARK, Collector
from ingest.enrichment import Enrichment
from ingest.freezer import Freezer
from ingest.frozen_batch import BatchHeader
from ingest.insert_failures import FailureReason, InsertFailed
from ingest.visitors import Visitors
from scanhop.spool import SegmentName, SpoolLimits, SpoolWriter
from scanhop.spool.segment import ACKED, BATCH, PARKED, SEALED
from scanhop.stores.errors import StoreRejected, StoreUnavailable
from tests.product import eventually
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


def never_pauses(cap_s: float) -> Backoff:
    return Backoff(cap_s, base_s=0)


def pauses_a_minute(cap_s: float) -> Backoff:
    return Backoff(60, base_s=60, chance=lambda: 1.0)


@pytest.fixture
def build(spool_root: Path, warehouse: Warehouse) -> Callable[[Callable[[float], Backoff]], Collector]:
    async def read_salts() -> Mapping[date, bytes]:
        today = datetime.now(UTC).date()
        return {today + timedelta(days=days): bytes(32) for days in (-1, 0, 1)}

    def build_one(new_backoff: Callable[[float], Backoff]) -> Collector:
        visitors = Visitors(read_salts)
        freezer = Freezer(spool_root, Enrichment(visitors, (), "none"))
        return Collector(spool_root, freezer, warehouse, visitors, new_backoff)

    return build_one


@pytest.fixture
def collector(build) -> Collector:
    return build(never_pauses)


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

    def refuse(fd: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", refuse)
        assert await collector.collect() == 0
    assert name.path(spool_root, SEALED).exists()
    assert not name.path(spool_root, BATCH).exists()
    assert await collector.collect() == 1
    assert len(warehouse.taken) == 1


async def test_a_segment_that_waits_is_not_tried_in_every_round(build, spool, spool_root, monkeypatch):
    collector = build(pauses_a_minute)
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
    warehouse.failures = [StoreRejected("stop here")] * REFUSALS_TO_PARK
    for _ in range(REFUSALS_TO_PARK):
        await collector.collect()
    parked = name.path(spool_root, PARKED)
    batch = parked.rename(name.path(spool_root, BATCH))
    batch.write_bytes(batch.read_bytes()[:-1])
    await collector.collect()
    assert parked.exists()
    assert await collector.collect() == 0
    assert warehouse.taken == []


def away(reason: FailureReason = FailureReason.UNREACHABLE) -> InsertFailed:
    return InsertFailed("away", reason)


async def test_an_unavailable_store_gets_the_same_batch_again(collector, spool, spool_root, warehouse):
    name = seal_one(spool, spool_root)
    warehouse.failures = [away(), away(FailureReason.OVERLOADED), away()]
    assert [await collector.collect() for _ in range(4)] == [0, 0, 0, 1]
    assert name.path(spool_root, ACKED).exists()
    assert len(warehouse.taken) == 1
    assert collector.figures.retries == {FailureReason.UNREACHABLE: 2, FailureReason.OVERLOADED: 1}


async def test_while_the_store_is_left_alone_nothing_is_sent(build, spool, spool_root, warehouse):
    collector = build(pauses_a_minute)
    first, second = seal_one(spool, spool_root), seal_one(spool, spool_root)
    warehouse.failures = [away()]
    assert [await collector.collect() for _ in range(3)] == [0, 0, 0]
    assert warehouse.taken == []
    assert first.path(spool_root, BATCH).exists()
    assert not second.path(spool_root, BATCH).exists(), "frozen ahead: the spool would hold it twice"


async def test_a_batch_that_fails_again_and_again_holds_up_no_other(collector, spool, spool_root, warehouse):
    names = [seal_one(spool, spool_root) for _ in range(3)]
    load = warehouse.load

    async def fail_on_the_first(header: BatchHeader, body: bytes) -> None:
        if header.segment == names[0].number:
            raise away(FailureReason.OVERLOADED)
        await load(header, body)

    warehouse.load = fail_on_the_first
    for _ in range(5):
        await collector.collect()
    assert [header.segment for header in warehouse.taken] == [names[1].number, names[2].number]
    assert names[0].path(spool_root, BATCH).exists()


async def test_a_batch_that_is_refused_once_is_sent_again_before_it_is_parked(
    collector, spool, spool_root, warehouse
):
    name = seal_one(spool, spool_root)
    warehouse.failures = [StoreRejected("damaged on its way")] * (REFUSALS_TO_PARK - 1)
    for _ in range(REFUSALS_TO_PARK):
        await collector.collect()
    assert name.path(spool_root, ACKED).exists()
    assert collector.figures.retries == {FailureReason.BAD_DATA: REFUSALS_TO_PARK - 1}


async def test_parked_batches_do_not_keep_the_writer_from_sealing(collector, spool, spool_root, warehouse):
    """It seals by age only while few sealed segments wait."""
    many = 10
    for number in range(many):
        seal_one(spool, spool_root)
        warehouse.failures = [StoreRejected("bad")] * REFUSALS_TO_PARK
        for _ in range(REFUSALS_TO_PARK):
            await collector.collect()
        assert len(list(spool_root.glob(f"*/*{PARKED}"))) == number + 1
    write_scan(spool, new_route())
    spool.seal_if_due()
    assert len(list(spool_root.glob(f"*/*{SEALED}"))) == 1


async def test_a_crash_in_the_middle_of_parking_is_gone_on_from(collector, spool, spool_root, warehouse):
    name = seal_one(spool, spool_root)
    warehouse.failures = [away()]
    await collector.collect()
    name.path(spool_root, BATCH).rename(name.path(spool_root, PARKED))
    await collector.collect()
    assert not name.path(spool_root, SEALED).exists()
    name.path(spool_root, PARKED).rename(name.path(spool_root, BATCH))
    await collector.collect()
    assert [path.suffix for path in spool_root.glob("*/0*")] == [ACKED]


async def test_missing_salts_hold_up_no_batch_that_is_frozen(collector, spool, spool_root, warehouse, monkeypatch):
    frozen = seal_one(spool, spool_root)
    warehouse.failures = [away()]
    await collector.collect()
    waiting = seal_one(spool, spool_root)
    assert waiting.path(spool_root, SEALED).exists()
    monkeypatch.setattr(collector._visitors, "_salts", {})

    async def fail() -> None:
        raise StoreUnavailable("no Postgres")

    monkeypatch.setattr(collector._visitors, "_read_salts", fail)
    await collector.collect()
    assert frozen.path(spool_root, ACKED).exists()
    assert waiting.path(spool_root, SEALED).exists()


async def test_a_postgres_that_refuses_the_salts_parks_nothing(collector, spool, spool_root, warehouse, monkeypatch):
    name = seal_one(spool, spool_root)
    read_salts = collector._visitors._read_salts

    async def refuse() -> None:
        raise StoreRejected("no permission")

    monkeypatch.setattr(collector._visitors, "_read_salts", refuse)
    for _ in range(REFUSALS_TO_PARK + 1):
        await collector.collect()
    assert [path.suffix for path in spool_root.glob("*/0*")] == [SEALED]
    monkeypatch.setattr(collector._visitors, "_read_salts", read_salts)
    assert await collector.collect() == 1
    assert name.path(spool_root, ACKED).exists()


async def test_a_batch_that_waited_long_is_kept_for_the_grace_period_once_it_is_accepted(
    collector, spool, spool_root, warehouse
):
    name = seal_one(spool, spool_root)
    warehouse.failures = [away()]
    await collector.collect()
    os.utime(name.path(spool_root, BATCH), (0, 0))
    assert await collector.collect() == 1
    await collector.collect()
    assert name.path(spool_root, ACKED).exists()


async def test_a_stop_leaves_a_batch_that_cannot_be_sent(collector, spool, spool_root, warehouse):
    name = seal_one(spool, spool_root)
    warehouse.failures = [away()] * 100
    running = asyncio.create_task(collector.run())
    await asyncio.to_thread(eventually, lambda: len(warehouse.failures) < 100)
    collector.stop()
    await asyncio.wait_for(running, 5)
    assert name.path(spool_root, BATCH).exists()
    assert name.path(spool_root, SEALED).exists()


async def test_a_disk_that_refuses_to_clear_up_ends_nothing(collector, spool, spool_root, warehouse, monkeypatch):
    name = seal_one(spool, spool_root)
    await collector.collect()
    monkeypatch.setattr("ingest.collector.ACKED_GRACE_S", -1)

    def refuse(path: Path) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr("ingest.collector.sync_directory", refuse)
        await collector.collect()
    assert name.path(spool_root, ACKED).exists()
    await collector.collect()
    assert not name.path(spool_root, ACKED).exists()


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

"""What is on the disk while ingest hands a segment over; the crash tests take it apart at every call."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingest.dead_letters import PARKED_SEGMENT
from ingest.frozen_batch import BatchHeader
from scanhop.spool import SegmentName, SpoolWriter
from scanhop.spool.segment import ACKED, BATCH, PARKED, SEALED
from tests.ingest_on_a_spool import Warehouse, append_scan, collect, frames, let_die, new_collector
from tests.unit.spool.crashes import suffixes


class Witness(Warehouse):
    """Looks at the disk when a batch arrives."""

    def __init__(self, root: Path) -> None:
        super().__init__()
        self._root = root
        self.seen: list[tuple[list[str], list[int]]] = []

    async def load(self, header: BatchHeader, body: bytes) -> None:
        (segment,) = self._root.glob(f"*/*{SEALED}")
        self.seen.append((suffixes(self._root), [frame.nonce for frame in frames(segment)]))
        await super().load(header, body)


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


@pytest.fixture
def segment(open_writer, spool_root) -> SegmentName:
    """Sealed, with the scans 1 and 2."""
    writer: SpoolWriter = open_writer(max_age_s=0)
    for nonce in (1, 2):
        append_scan(writer, nonce)
    writer.flush()
    writer.seal_if_due()
    return SegmentName(writer.spool_id, 1)


def test_while_its_batch_is_under_way_a_segment_is_there_whole_and_then_only_the_acknowledgement(
    spool_root, segment, loop
):
    warehouse = Witness(spool_root)
    reader = new_collector(spool_root, warehouse)
    collect(loop, reader)
    let_die(reader)
    assert warehouse.seen == [([BATCH, SEALED], [1, 2])]
    assert suffixes(spool_root) == [ACKED]


def test_a_damaged_batch_is_parked_beside_the_segment_that_still_has_its_scans(spool_root, segment, loop):
    segment.path(spool_root, BATCH).write_bytes(b"no batch")
    reader = new_collector(spool_root, Warehouse())
    collect(loop, reader)
    let_die(reader)
    assert suffixes(spool_root) == sorted([".json", PARKED, PARKED_SEGMENT])  # why it was parked stands beside it
    assert [frame.nonce for frame in frames(segment.path(spool_root, PARKED_SEGMENT))] == [1, 2]

"""What waits, read from the spool's files."""

import time

import pytest

from ingest.backlog import BacklogReader
from scanhop.spool import SpoolLimits, SpoolWriter
from scanhop.spool.segment import ACKED, BATCH, OPEN, PARKED, SEALED, list_segments
from tests.routes import new_route, write_scan


@pytest.fixture
def spool(spool_root):
    writer = SpoolWriter(spool_root, SpoolLimits(1 << 30, fsync_interval_s=60, max_age_s=0))
    yield writer
    writer.close()


def write(spool: SpoolWriter, scans: int) -> None:
    for _ in range(scans):
        write_scan(spool, new_route())


def test_an_empty_spool_has_none(spool_root):
    backlog = BacklogReader(spool_root).read()
    assert (backlog.segments, backlog.records, backlog.bytes, backlog.oldest_age_s) == (0, 0, 0, 0.0)


def test_a_spool_that_is_not_there_has_none(spool_root):
    assert BacklogReader(spool_root / "nowhere").read().segments == 0


def test_sealed_and_open_segments_wait(spool_root, spool):
    reader = BacklogReader(spool_root)
    write(spool, 1000)
    spool.seal_if_due()
    write(spool, 3)
    backlog = reader.read()
    assert (backlog.segments, backlog.records) == (2, 1003)
    assert backlog.bytes == sum(path.stat().st_size for path in spool_root.glob("*/0*"))
    write(spool, 1)
    assert reader.read().records == 1004


def test_the_age_is_that_of_the_first_scan_that_waits(spool_root):
    at_ns = time.time_ns() - 90 * 10**9
    old = SpoolWriter(spool_root, SpoolLimits(1 << 30, fsync_interval_s=60, max_age_s=0), lambda: at_ns)
    write(old, 2)
    old.close()
    with_age = BacklogReader(spool_root).read()
    assert 89 < with_age.oldest_age_s < 120


@pytest.mark.parametrize("settled", [PARKED, ACKED])
def test_what_is_parked_or_accepted_is_no_backlog(spool_root, spool, settled):
    write(spool, 2)
    spool.seal_if_due()
    (name,) = list_segments(spool_root, spool.spool_id, SEALED)
    name.path(spool_root, BATCH).touch()
    assert BacklogReader(spool_root).read().records == 2
    name.path(spool_root, BATCH).rename(name.path(spool_root, settled))
    assert BacklogReader(spool_root).read().records == 0


def test_a_torn_tail_counts_no_record_and_damage_hides_none_behind_it(spool_root, spool):
    write(spool, 5)
    (name,) = list_segments(spool_root, spool.spool_id, OPEN)
    path = name.path(spool_root, OPEN)
    data = bytearray(path.read_bytes())
    data[60] ^= 1
    path.write_bytes(data[:-3])
    assert BacklogReader(spool_root).read().records == 4

import errno
import os
import stat
from uuid import RFC_4122, UUID
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.frozen_batch import FORMAT, INSERT_SETTINGS, BatchHeader, DamagedBatch, batch_id, read_batch, write_batch
from scanhop.spool import SegmentName, SpoolId
from scanhop.spool.segment import UnreadableSegment

SPOOL_ID = SpoolId(UUID("01931b2e-0000-7000-8000-000000000001"))
names = st.builds(SegmentName, st.uuids().map(SpoolId), st.integers(1, 2**32 - 1))
bodies = st.binary(max_size=300) | st.just(b"\n\n{}\n")


def header_of(body: bytes, **fields: object) -> BatchHeader:
    name = SegmentName(SPOOL_ID, 7)
    usual: dict[str, object] = {
        "format": FORMAT,
        "batch_id": batch_id(name),
        "spool_id": SPOOL_ID,
        "segment": 7,
        "table": "qr_scan_events",
        "columns": ["event_id", "batch_id"],
        "settings": INSERT_SETTINGS,
        "rows": 3,
        "scans": 2,
        "damaged": 1,
        "first_scan_at_ns": 1_800_000_000_000_000_000,
        "last_scan_at_ns": 1_800_000_000_000_000_001,
        "frozen_at_ns": 1_800_000_000_000_000_002,
        "body_crc": crc32(body),
    }
    return BatchHeader(**(usual | fields))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "00000007.batch"


@pytest.fixture(scope="module")
def shared_path(tmp_path_factory):
    return tmp_path_factory.mktemp("batches") / "00000007.batch"


@given(body=bodies)
def test_a_batch_read_back_is_what_was_written(shared_path, body):
    write_batch(shared_path, header_of(body), body)
    assert read_batch(shared_path) == (header_of(body), body)


@given(body=bodies, data=st.data())
def test_a_batch_with_one_wrong_bit_anywhere_is_damaged(shared_path, body, data):
    write_batch(shared_path, header_of(body), body)
    damaged = bytearray(shared_path.read_bytes())
    bit = data.draw(st.integers(0, len(damaged) * 8 - 1))
    damaged[bit // 8] ^= 1 << bit % 8
    shared_path.write_bytes(damaged)
    with pytest.raises(DamagedBatch):
        read_batch(shared_path)


@given(data=st.data())
def test_a_batch_cut_short_anywhere_is_damaged(shared_path, data):
    body = b"body" * 10
    write_batch(shared_path, header_of(body), body)
    whole = shared_path.read_bytes()
    shared_path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    with pytest.raises(DamagedBatch):
        read_batch(shared_path)


@given(data=st.binary(max_size=200))
def test_other_bytes_are_a_damaged_batch(shared_path, data):
    shared_path.write_bytes(data)
    with pytest.raises(DamagedBatch):
        read_batch(shared_path)


def test_a_batch_of_another_format_is_not_read_and_not_called_damaged(path):
    write_batch(path, header_of(b"body", format=FORMAT + 1), b"body")
    with pytest.raises(UnreadableSegment):
        read_batch(path)


def test_a_batch_is_for_its_owner_alone(path):
    write_batch(path, header_of(b""), b"")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_batch_is_under_its_name_only_when_it_is_on_the_disk(path, monkeypatch):
    seen = []
    fsync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: seen.append(path.exists()) or fsync(fd))
    write_batch(path, header_of(b""), b"")
    assert seen == [False, True]  # the file, then its directory


def test_a_disk_that_refuses_leaves_nothing_under_the_name(path, monkeypatch):
    def refuse(fd: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", refuse)
        with pytest.raises(OSError, match="No space"):
            write_batch(path, header_of(b""), b"")
    assert not path.exists()
    write_batch(path, header_of(b"again"), b"again")
    assert read_batch(path)[1] == b"again"


@given(names)
def test_a_batch_id_is_always_the_same_for_a_segment(name):
    assert batch_id(name) == batch_id(SegmentName(SpoolId(UUID(str(name.spool_id))), name.number))


@given(names, names)
def test_a_batch_id_differs_by_segment(name, other):
    assert (batch_id(name) == batch_id(other)) == (name == other)


@given(names)
def test_a_batch_id_is_a_version_8_of_the_rfc_with_room_for_record_numbers(name):
    made = batch_id(name)
    assert (made.version, made.variant) == (8, RFC_4122)
    assert made.int & 0xFFFF_FFFF == 0


def test_the_id_of_a_batch_never_changes():
    assert batch_id(SegmentName(SPOOL_ID, 7)) == UUID("161a205e-1308-873b-818c-848a00000000")


def test_the_token_is_the_batch_id():
    assert header_of(b"").token == str(batch_id(SegmentName(SPOOL_ID, 7)))


def test_the_settings_make_one_body_one_block_and_the_token_hold_for_rollups():
    assert INSERT_SETTINGS["async_insert"] == 0
    assert INSERT_SETTINGS["insert_deduplicate"] == 1
    assert INSERT_SETTINGS["deduplicate_blocks_in_dependent_materialized_views"] == 1
    assert INSERT_SETTINGS["min_insert_block_size_rows"] > 50_000
    assert INSERT_SETTINGS["max_insert_block_size"] > 50_000

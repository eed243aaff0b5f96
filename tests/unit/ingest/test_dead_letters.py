"""What is found in the spool, and what handing it back does there."""

import base64
from pathlib import Path

import orjson
import pytest

from ingest.dead_letters import (
    REPLAY,
    REPLAY_BATCH,
    REPLAY_PARKED,
    CannotReplay,
    DeadLetter,
    Kind,
    hand_back,
    list_dead_letters,
    park,
    remove_old_notes,
)
from scanhop.spool import SegmentName
from scanhop.spool.segment import ACKED, BATCH, DAMAGED, PARKED, REJECTED, SEALED
from tests.unit.ingest.test_freezer import freeze, scan, write_segment


def reject(root: Path, name: SegmentName, *reasons: str, suffix: str = REJECTED) -> Path:
    lines = [
        {"record": number, "reason": reason, "bytes": base64.b64encode(b"x").decode()}
        for number, reason in enumerate(reasons)
    ]
    path = name.path(root, suffix)
    path.write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in lines))
    return path


@pytest.fixture
def name(spool_root: Path) -> SegmentName:
    """A frozen segment of two records."""
    name = write_segment(spool_root, [scan(), scan()])
    freeze(spool_root, name)
    return name


def only(root: Path) -> DeadLetter:
    (letter,) = list_dead_letters(root)
    return letter


def test_a_healthy_spool_has_none(spool_root, name):
    assert list_dead_letters(spool_root) == []


def test_a_parked_batch_is_told_with_its_reason_and_its_rows(spool_root, name):
    park(name.path(spool_root, BATCH), "clickhouse: cannot parse")
    letter = only(spool_root)
    assert (letter.kind, letter.reason, letter.rows) == (Kind.PARKED, "clickhouse: cannot parse", 2)
    assert letter.id == f"{name.spool_id}/00000001.parked"
    assert letter.bytes == letter.path.stat().st_size
    assert abs(letter.since - letter.path.stat().st_mtime) < 60


def test_a_parked_batch_without_a_note_is_told_too(spool_root, name):
    batch = name.path(spool_root, BATCH)
    batch.rename(batch.with_suffix(PARKED))
    assert (only(spool_root).rows, only(spool_root).reason) == (2, "not told")


def test_rejected_records_are_counted_by_reason(spool_root, name):
    reject(spool_root, name, "too old", "too old", "no record")
    letter = only(spool_root)
    assert (letter.kind, letter.rows, letter.reason) == (Kind.REJECTED, 3, "too old (2); no record (1)")


def test_a_file_that_somebody_has_edited_is_listed_all_the_same(spool_root, name):
    name.path(spool_root, REJECTED).write_bytes(b"{\n[]\n")
    assert only(spool_root).reason == "an unreadable line (2)"


def test_a_parked_batch_is_handed_back_under_its_old_name(spool_root, name):
    batch = name.path(spool_root, BATCH)
    content = batch.read_bytes()
    park(batch, "x")
    hand_back(only(spool_root))
    assert batch.read_bytes() == content
    assert list_dead_letters(spool_root) == []


def test_a_parked_replay_is_handed_back_as_a_replay(spool_root, name):
    batch = name.path(spool_root, BATCH).rename(name.path(spool_root, REPLAY_BATCH))
    park(batch, "x")
    assert only(spool_root).path.suffix == REPLAY_PARKED
    hand_back(only(spool_root))
    assert batch.exists()


def test_a_damaged_batch_is_not_sent(spool_root, name):
    park(name.path(spool_root, BATCH), "x")
    parked = name.path(spool_root, PARKED)
    parked.write_bytes(parked.read_bytes()[:-1])
    assert only(spool_root).rows is None
    with pytest.raises(CannotReplay, match="does not match its checksum"):
        hand_back(only(spool_root))
    assert parked.exists()


@pytest.mark.parametrize("frozen", [BATCH, PARKED, ACKED])
def test_rejected_records_of_a_frozen_segment_are_handed_back(spool_root, name, frozen):
    name.path(spool_root, BATCH).rename(name.path(spool_root, frozen))
    rejected = reject(spool_root, name, "x")
    letter = next(letter for letter in list_dead_letters(spool_root) if letter.kind is Kind.REJECTED)
    hand_back(letter)
    assert not rejected.exists()
    assert name.path(spool_root, REPLAY).exists()


def test_rejected_records_of_a_segment_that_may_be_read_again_stay(spool_root, name):
    name.path(spool_root, BATCH).unlink()
    rejected = reject(spool_root, name, "x")
    assert name.path(spool_root, SEALED).exists()
    with pytest.raises(CannotReplay, match="still being read"):
        hand_back(only(spool_root))
    assert rejected.exists()


def test_what_was_handed_back_is_listed_until_ingest_comes_to_it_and_is_not_overwritten(spool_root, name):
    reject(spool_root, name, "x", suffix=REPLAY)
    assert (only(spool_root).kind, only(spool_root).reason) == (Kind.REPLAY, "waits for ingest")
    rejected = reject(spool_root, name, "y")
    for letter in list_dead_letters(spool_root):
        with pytest.raises(CannotReplay, match="handed back already"):
            hand_back(letter)
    assert rejected.exists()


def test_damaged_bytes_stay(spool_root, name):
    damaged = reject(spool_root, name, "", suffix=DAMAGED)
    with pytest.raises(CannotReplay, match="no records"):
        hand_back(only(spool_root))
    assert damaged.exists()


@pytest.mark.parametrize("kind", [PARKED, REJECTED])
def test_who_comes_second_is_told(spool_root, name, kind):
    if kind is PARKED:
        park(name.path(spool_root, BATCH), "x")
    else:
        reject(spool_root, name, "x")
    letter = only(spool_root)
    hand_back(letter)
    with pytest.raises(CannotReplay):
        hand_back(letter)


def test_a_note_goes_once_its_batch_was_accepted_and_not_before(spool_root, name):
    batch = name.path(spool_root, BATCH)
    park(batch, "x")
    (note,) = batch.parent.glob("*.json")
    remove_old_notes(batch.parent)
    assert note.exists()
    hand_back(only(spool_root))
    remove_old_notes(batch.parent)
    assert note.exists()
    batch.rename(name.path(spool_root, ACKED))
    remove_old_notes(batch.parent)
    assert not note.exists()

import os
from uuid import uuid4

import pytest

from scanhop.spool import SegmentName, SpoolId
from scanhop.spool.segment import ACKED, BATCH, OPEN, PARKED, SEALED
from scanhop.spool.usage import Backlog, read_backlog, spool_bytes


@pytest.fixture
def put(spool_root):
    spool_id = SpoolId(uuid4())
    (spool_root / str(spool_id)).mkdir()

    def put_one(number: int, suffix: str, size: int, modified_at: float = 1_800_000_000) -> None:
        path = SegmentName(spool_id, number).path(spool_root, suffix)
        path.write_bytes(bytes(size))
        os.utime(path, (modified_at, modified_at))

    return put_one


def test_a_spool_that_is_not_there_uses_nothing(tmp_path):
    assert spool_bytes(tmp_path / "none") == 0
    assert read_backlog(tmp_path / "none") == Backlog(0, 0, None)


def test_every_file_is_counted(put, spool_root):
    for number, suffix in enumerate([OPEN, SEALED, BATCH, ACKED, PARKED, ".damaged", ".tmp"]):
        put(number, suffix, 100)
    assert spool_bytes(spool_root) == 700


def test_what_is_not_accepted_yet_is_the_backlog(put, spool_root):
    put(1, ACKED, 100, modified_at=1)
    put(2, SEALED, 20, modified_at=300)
    put(2, BATCH, 1000, modified_at=2)
    put(3, SEALED, 30, modified_at=200)
    put(4, OPEN, 50, modified_at=400)
    assert read_backlog(spool_root) == Backlog(3, 100, 200)


def test_files_in_the_root_itself_are_not_looked_at(spool_root):
    (spool_root / "filler").write_bytes(bytes(100))
    assert spool_bytes(spool_root) == 0


def test_links_are_not_followed(spool_root, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "large").write_bytes(bytes(10_000))
    (spool_root / "link").symlink_to(outside)
    inside = spool_root / "inside"
    inside.mkdir()
    (inside / "link").symlink_to(outside / "large")
    assert spool_bytes(spool_root) < 1000


def test_what_goes_while_we_look_is_left_out(put, spool_root, monkeypatch):
    put(1, SEALED, 100)
    put(2, SEALED, 100)
    scandir = os.scandir

    def lose_one(path):
        found = scandir(path)
        (spool_root / path).joinpath("00000001.sealed").unlink(missing_ok=True)
        return found

    monkeypatch.setattr(os, "scandir", lose_one)
    assert spool_bytes(spool_root) == 100

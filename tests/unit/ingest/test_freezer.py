import base64
import errno
import os
import stat
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.freezer import Freezer
from ingest.frozen_batch import batch_id, read_batch
from ingest.scan_reader import LATEST_NS
from ingest.scan_rows import event_id
from scanhop.spool import SegmentName, SpoolLimits, SpoolWriter
from scanhop.spool.segment import BATCH, DAMAGED, REJECTED, SEALED, list_segments
from scanhop.wire.scan_record import Outcome, encode_headers, encode_route_prefix, encode_scan
from tests.routes import PHONE, new_route
from tests.unit.ingest.native_decoder import rows_of
from tests.unit.ingest.test_enrichment import ENRICHMENT, NOON

MONTH_NS = 31 * 86_400 * 10**9
LIMITS = SpoolLimits(1 << 30, fsync_interval_s=3600, max_age_s=0)


def scan(at_ns: int = NOON, referer: bytes = b"", outcome: Outcome = Outcome.REDIRECT) -> bytes:
    headers = encode_headers([(b"user-agent", PHONE), (b"referer", referer)])
    return encode_scan(encode_route_prefix(new_route()), at_ns, outcome, b"\xcb\0\x71\x4d", headers)


def write_segment(root: Path, records: list[bytes]) -> SegmentName:
    """A sealed segment of these records."""
    writer = SpoolWriter(root, LIMITS, lambda: NOON)
    for payload in records:
        writer.append(payload, at_ns=NOON)
    writer.flush()
    writer.close()
    (name,) = list_segments(root, writer.spool_id, SEALED)
    return name


def freeze(root: Path, name: SegmentName, frozen_at_ns: int = NOON) -> Freezer:
    freezer = Freezer(root, ENRICHMENT, lambda: frozen_at_ns)
    freezer.freeze(name, freezer.read(name))
    return freezer


def lines_of(path: Path) -> list[dict[str, object]]:
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


def flip(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


def test_a_segment_becomes_one_batch_with_a_row_for_each_record(spool_root):
    name = write_segment(spool_root, [scan(referer=b"%d" % number) for number in range(3)])
    freezer = freeze(spool_root, name)
    header, body = read_batch(name.path(spool_root, BATCH))
    rows = rows_of(body)
    assert [row["referer"] for row in rows] == [b"0", b"1", b"2"]
    assert [row["event_id"].bytes for row in rows] == [event_id(batch_id(name), number) for number in range(3)]
    assert header.columns == list(rows[0])
    assert freezer.counts == {"read": 3, "frozen": 3, "rejected": 0, "torn": 0, "damaged": 0}


def test_the_header_says_what_the_batch_holds(spool_root):
    records = [scan(NOON + 5), scan(NOON + 1), scan(NOON + 9, outcome=Outcome.HEAD)]
    name = write_segment(spool_root, records)
    freeze(spool_root, name, frozen_at_ns=NOON + 100)
    header, _ = read_batch(name.path(spool_root, BATCH))
    assert (header.batch_id, header.spool_id, header.segment) == (batch_id(name), name.spool_id, name.number)
    assert (header.rows, header.scans, header.damaged) == (3, 2, 0)
    assert (header.first_scan_at_ns, header.last_scan_at_ns) == (NOON + 1, NOON + 9)
    assert header.frozen_at_ns == NOON + 100


def test_freezing_again_gives_the_same_rows_but_for_the_time_of_freezing(spool_root):
    name = write_segment(spool_root, [scan(), b"no record", scan(referer=b"\xff")])
    freeze(spool_root, name)
    header, body = read_batch(name.path(spool_root, BATCH))
    rejected = name.path(spool_root, REJECTED).read_bytes()
    freeze(spool_root, name, frozen_at_ns=NOON + 10**9)
    header_again, body_again = read_batch(name.path(spool_root, BATCH))
    rows, rows_again = rows_of(body), rows_of(body_again)
    assert {row.pop("received_at") for row in rows} == {NOON // 10**6}
    assert {row.pop("received_at") for row in rows_again} == {NOON // 10**6 + 1000}
    assert rows == rows_again
    assert header.token == header_again.token
    assert name.path(spool_root, REJECTED).read_bytes() == rejected


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"no record", "unpack"),
        (b"", "unpack"),
        (scan(referer=b"ab")[:-1], "ends early"),
        (scan(at_ns=0), "time is out of range"),
        (scan(at_ns=LATEST_NS), "time is out of range"),
        (scan(at_ns=2**64 - 1), "time is out of range"),
        (scan(at_ns=NOON + MONTH_NS), "another month"),
        (scan(at_ns=NOON - MONTH_NS), "another month"),
    ],
)
def test_a_record_that_cannot_be_a_row_is_set_aside_with_its_reason(spool_root, payload, reason):
    name = write_segment(spool_root, [scan(), payload, scan()])
    freezer = freeze(spool_root, name)
    header, body = read_batch(name.path(spool_root, BATCH))
    assert [row["event_id"].bytes[-1] for row in rows_of(body)] == [0, 2]
    assert header.rows == 2
    (line,) = lines_of(name.path(spool_root, REJECTED))
    assert line["record"] == 1
    assert reason in line["reason"]
    assert base64.b64decode(line["bytes"]) == payload
    assert freezer.counts["rejected"] == 1


def test_a_segment_without_a_usable_record_gives_no_batch(spool_root):
    name = write_segment(spool_root, [b"one", b"two"])
    freezer = Freezer(spool_root, ENRICHMENT)
    assert not freezer.freeze(name, freezer.read(name))
    assert not name.path(spool_root, BATCH).exists()
    assert len(lines_of(name.path(spool_root, REJECTED))) == 2


def test_a_damaged_place_is_set_aside_byte_for_byte(spool_root):
    name = write_segment(spool_root, [scan(), scan(), scan()])
    sealed = name.path(spool_root, SEALED)
    flip(sealed, sealed.stat().st_size // 2)
    freezer = freeze(spool_root, name)
    (line,) = lines_of(name.path(spool_root, DAMAGED))
    assert base64.b64decode(line["bytes"]) == sealed.read_bytes()[line["start"] : line["end"]]
    header, body = read_batch(name.path(spool_root, BATCH))
    assert [row["event_id"].bytes[-1] for row in rows_of(body)] == [0, 2]
    assert (header.rows, header.damaged) == (2, 1)
    assert (freezer.counts["damaged"], freezer.counts["torn"]) == (1, 0)


def test_a_torn_tail_is_counted_and_not_set_aside(spool_root):
    name = write_segment(spool_root, [scan(), scan()])
    sealed = name.path(spool_root, SEALED)
    os.truncate(sealed, sealed.stat().st_size - 1)
    freezer = freeze(spool_root, name)
    assert not name.path(spool_root, DAMAGED).exists()
    assert (freezer.counts["damaged"], freezer.counts["torn"]) == (0, 1)


def test_what_is_set_aside_is_for_the_owner_alone(spool_root):
    name = write_segment(spool_root, [scan(), b"no record", scan()])
    flip(name.path(spool_root, SEALED), 60)
    freeze(spool_root, name)
    for suffix in (DAMAGED, REJECTED, BATCH):
        assert stat.S_IMODE(name.path(spool_root, suffix).stat().st_mode) == 0o600


def test_a_disk_that_refuses_leaves_the_segment_as_it_was(spool_root, monkeypatch):
    name = write_segment(spool_root, [scan()])
    before = name.path(spool_root, SEALED).read_bytes()

    def refuse(fd: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", refuse)
        with pytest.raises(OSError, match="No space"):
            freeze(spool_root, name)
    assert not name.path(spool_root, BATCH).exists()
    assert name.path(spool_root, SEALED).read_bytes() == before
    freeze(spool_root, name)
    assert read_batch(name.path(spool_root, BATCH))[0].rows == 1


@given(
    payloads=st.lists(
        st.binary(max_size=60)
        | st.just(scan())
        | st.builds(lambda cut: scan()[:cut], st.integers(0, 200))
        | st.builds(scan, at_ns=st.integers(0, 2**64 - 1)),
        max_size=8,
    )
)
def test_every_record_is_either_a_row_or_set_aside(tmp_path_factory, payloads):
    root = tmp_path_factory.mktemp("spool")
    if not payloads:
        return
    name = write_segment(root, payloads)
    freezer = freeze(root, name)
    numbers = [line["record"] for line in lines_of(name.path(root, REJECTED))] if freezer.counts["rejected"] else []
    if freezer.counts["frozen"]:
        _, body = read_batch(name.path(root, BATCH))
        numbers += [int.from_bytes(row["event_id"].bytes[-4:]) for row in rows_of(body)]
    assert sorted(numbers) == list(range(len(payloads)))
    assert freezer.counts["frozen"] + freezer.counts["rejected"] == len(payloads)

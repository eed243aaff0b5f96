"""From the spool to ClickHouse, on the real engine."""

import asyncio
import os
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from ingest.collector import Collector
from ingest.dead_letters import PARKED_SEGMENT
from ingest.enrichment import Enrichment
from ingest.frozen_batch import read_batch
from ingest.loader import Loader
from ingest.native_format import encode_string
from ingest.process import build_collector
from scanhop.spool import SpoolWriter
from scanhop.spool.segment import ACKED, BATCH, OPEN, PARKED, REJECTED, SEALED
from scanhop.stores.clickhouse import ClickHouse
from scanhop.stores.errors import StoreRejected, StoreUnavailable
from scanhop.stores.postgres import Postgres
from scanhop.wire.scan_record import Outcome, encode_headers, encode_route_prefix, encode_scan
from tests.integration.ingest.collecting import take
from tests.product import eventually
from tests.routes import PHONE, new_route, write_scan


async def test_a_scan_becomes_one_row_with_everything_it_says(collector, spool, rows):
    route = new_route(version=7)
    write_scan(
        spool,
        route,
        headers=[
            (b"referer", b"https://example.org/\xff"),
            (b"accept-language", b"de-AT;q=0.8, en;q=0.3"),
            (b"x-forwarded-for", b"10.9.8.7, 203.0.113.77"),
            (b"cookie", b"secret"),
        ],
    )
    spool.seal_if_due()
    assert await collector.collect() == 1
    found = await rows(
        "SELECT workspace_id, qr_id, user_id, short_code, route_version, outcome, is_bot, bot_reason, ip, language, "
        "device_type, os, browser, referer, user_agent, abs(dateDiff('second', scanned_at, now())) < 60 "
        "FROM qr_scan_events"
    )
    assert found == [
        (
            UUID(bytes=route.workspace_id),
            UUID(bytes=route.qr_id),
            UUID(bytes=route.user_id),
            "abc2345",
            7,
            "redirect",
            False,
            "",
            "203.0.113.0",
            "de",
            "mobile",
            "iOS",
            "Mobile Safari",
            "https://example.org/\ufffd",
            PHONE.decode(),
            1,
        )
    ]


async def test_rollups_count_people_and_events_apart(collector, spool, rows):
    route = new_route()
    for _ in range(3):
        write_scan(spool, route)
    write_scan(spool, route, headers=[(b"purpose", b"prefetch")])
    write_scan(spool, route, Outcome.HEAD)
    write_scan(spool, route, Outcome.PAUSED)
    spool.seal_if_due()
    await collector.collect()
    assert await rows("SELECT sum(events), sum(scans), sumMap(devices) FROM daily_aggregates") == [
        (6, 3, {"mobile": 3})
    ]
    assert await rows("SELECT rows, scans, damaged FROM scan_batches") == [(6, 3, 0)]


async def test_a_visitor_is_the_same_within_a_day_and_differs_by_address(collector, spool, rows):
    route = new_route()
    for peer in (b"\x0a\0\0\1", b"\x0a\0\0\1", b"\x0a\0\0\2"):
        write_scan(spool, route, peer=peer)
    spool.seal_if_due()
    await collector.collect()
    assert await rows("SELECT uniqExact(visitor), countIf(visitor = 0) FROM qr_scan_events") == [(2, 0)]


async def test_an_acknowledged_segment_leaves_only_its_batch_for_a_while(collector, spool, spool_root):
    write_scan(spool, new_route())
    spool.seal_if_due()
    await collector.collect()
    assert _suffixes(spool_root) == [ACKED]
    assert await collector.collect() == 0


async def test_a_dead_writers_open_segment_is_taken_and_its_directory_removed(
    collector, spool, spool_root, rows, monkeypatch
):
    write_scan(spool, new_route())
    assert _suffixes(spool_root) == [OPEN]
    _die(spool)
    monkeypatch.setattr("ingest.collector.ACKED_GRACE_S", -1)
    assert await collector.collect() == 1
    assert await rows("SELECT count() FROM qr_scan_events") == [(1,)]
    assert list(spool_root.iterdir()) == []


async def test_after_a_crash_behind_the_insert_the_same_bytes_are_sent_again_and_nothing_doubles(
    collector, spool, spool_root, rows, monkeypatch
):
    write_scan(spool, new_route())
    spool.seal_if_due()
    acknowledge = Collector._acknowledge
    monkeypatch.setattr(Collector, "_acknowledge", lambda *_: None)
    await collector.collect()
    frozen = _only(spool_root, BATCH).read_bytes()
    await collector.collect()
    assert _only(spool_root, BATCH).read_bytes() == frozen
    monkeypatch.setattr(Collector, "_acknowledge", acknowledge)
    await collector.collect()
    assert _suffixes(spool_root) == [ACKED]
    assert await rows("SELECT count() FROM qr_scan_events") == [(1,)]
    assert await rows("SELECT sum(events) FROM daily_aggregates") == [(1,)]
    assert await rows("SELECT count() FROM scan_batches") == [(1,)]


async def test_a_crash_between_acknowledgement_and_deletion_sends_nothing_again(
    collector, spool, spool_root, monkeypatch
):
    write_scan(spool, new_route())
    spool.seal_if_due()
    sealed = _only(spool_root, SEALED)
    content = sealed.read_bytes()
    await collector.collect()
    sealed.write_bytes(content)

    async def fail(*_: object) -> None:
        raise AssertionError("sent again")

    monkeypatch.setattr(Loader, "load", fail)
    await collector.collect()
    assert _suffixes(spool_root) == [ACKED]


async def test_a_refused_batch_is_parked_and_the_others_go_on(collector, spool, spool_root, rows, monkeypatch):
    write_scan(spool, new_route())
    spool.seal_if_due()
    write_scan(spool, new_route())
    spool.seal_if_due()
    load = Loader.load

    async def refuse_the_first(self: Loader, header: object, body: bytes) -> None:
        if header.segment == 1:
            raise StoreRejected("bad")
        await load(self, header, body)

    monkeypatch.setattr(Loader, "load", refuse_the_first)
    await take(collector, 2)
    assert await rows("SELECT count() FROM qr_scan_events") == [(1,)]
    assert sorted(_suffixes(spool_root)) == [ACKED, PARKED, PARKED_SEGMENT]
    assert await collector.collect() == 0


async def test_a_record_that_cannot_be_a_row_is_set_aside_with_its_reason(collector, spool, spool_root, rows):
    write_scan(spool, new_route())
    spool.append(b"no scan record", at_ns=spool.now_ns())
    spool.flush()
    spool.seal_if_due()
    await collector.collect()
    assert await rows("SELECT count() FROM qr_scan_events") == [(1,)]
    assert b'"record":1,"reason"' in _only(spool_root, REJECTED).read_bytes()


async def test_a_damaged_segment_loses_only_what_is_damaged(collector, spool, spool_root, rows):
    for _ in range(3):
        write_scan(spool, new_route())
    spool.seal_if_due()
    sealed = _only(spool_root, SEALED)
    data = bytearray(sealed.read_bytes())
    data[len(data) // 2] ^= 1
    sealed.write_bytes(data)
    await collector.collect()
    assert await rows("SELECT count() FROM qr_scan_events") == [(2,)]
    assert await rows("SELECT damaged FROM scan_batches") == [(1,)]


async def test_event_ids_follow_from_segment_and_record_number(collector, spool, rows, spool_root):
    for _ in range(2):
        write_scan(spool, new_route())
    spool.seal_if_due()
    await collector.collect()
    header, _ = read_batch(_only(spool_root, ACKED))
    (ids,) = await rows("SELECT groupArray(event_id) FROM (SELECT event_id FROM qr_scan_events ORDER BY scanned_at)")
    assert sorted(item.int - header.batch_id.int for item in ids[0]) == [0, 1]
    assert header.batch_id.int & 0xFFFFFFFF == 0


async def test_stop_ends_the_loop_and_takes_what_is_sealed(collector, spool, rows):
    running = asyncio.create_task(collector.run())
    await asyncio.sleep(0.05)
    write_scan(spool, new_route())
    spool.seal_if_due()
    collector.stop()
    await asyncio.wait_for(running, 10)
    assert await rows("SELECT count() FROM qr_scan_events") == [(1,)]


async def test_a_process_without_salts_waits_for_postgres_and_loses_nothing(settings, spool, rows, monkeypatch):
    postgres = Postgres("postgresql://nobody@127.0.0.1:1/none", max_connections=1, command_timeout_s=1)
    clickhouse = ClickHouse(settings.clickhouse_url, timeout_s=30)
    collector = build_collector(settings, postgres, clickhouse)
    write_scan(spool, new_route())
    spool.seal_if_due()
    running = asyncio.create_task(collector.run())
    await asyncio.sleep(0.5)
    assert await rows("SELECT count() FROM qr_scan_events") == [(0,)]
    back = Postgres(settings.postgres_dsn, max_connections=1, command_timeout_s=5)
    again = build_collector(settings, back, clickhouse)
    monkeypatch.setattr(collector._visitors, "_read_salts", again._visitors._read_salts)
    for _ in range(100):
        if await rows("SELECT count() FROM qr_scan_events") == [(1,)]:
            break
        await asyncio.sleep(0.1)
    assert await rows("SELECT count(), countIf(visitor = 0) FROM qr_scan_events") == [(1, 0)]
    collector.stop()
    await running
    await back.close()
    await clickhouse.close()


def _die(spool: SpoolWriter) -> None:
    """What the kernel does for a killed process: the lock goes, the file stays as it is."""
    os.close(spool._lock_fd)
    spool._segment = None


def _suffixes(root: Path) -> list[str]:
    return [path.suffix for path in root.glob("*/*") if path.suffix not in (".lock", ".json")]


def _only(root: Path, suffix: str) -> Path:
    (path,) = root.glob(f"*/*{suffix}")
    return path


async def test_a_missing_table_parks_nothing_and_is_mended_by_an_operator(collector, spool, spool_root, rows):
    write_scan(spool, new_route())
    spool.seal_if_due()
    await rows("RENAME TABLE qr_scan_events TO elsewhere")
    assert await collector.collect() == 0
    assert sorted(_suffixes(spool_root)) == [BATCH, SEALED]
    await rows("RENAME TABLE elsewhere TO qr_scan_events")
    await take(collector, 1)
    assert await rows("SELECT count() FROM qr_scan_events") == [(1,)]


async def test_a_body_that_clickhouse_cannot_read_is_parked(collector, spool, spool_root, monkeypatch):
    monkeypatch.setattr("ingest.freezer.encode_rows", lambda *_: b"\x01\x01\x08event_id\x04UUID")
    write_scan(spool, new_route())
    spool.seal_if_due()
    await take(collector, 1)
    assert sorted(_suffixes(spool_root)) == [PARKED, PARKED_SEGMENT]


async def test_a_hostile_user_agent_stops_nobody(collector, spool, rows):
    for user_agent in (b"philpodder/1.2.\xb2", b"cf/1.2.\xb2", b"\xff" * 2000):
        write_scan(spool, new_route(), headers=[(b"referer", b"x")])
        at_ns = spool.now_ns()
        head = encode_headers([(b"user-agent", user_agent)])
        record = encode_scan(encode_route_prefix(new_route()), at_ns, Outcome.REDIRECT, b"", head)
        spool.append(record, at_ns=at_ns)
        spool.flush()
    spool.seal_if_due()
    await collector.collect()
    assert await rows("SELECT count() FROM qr_scan_events") == [(6,)]


async def test_a_record_that_an_enrichment_fails_on_is_set_aside(collector, spool, spool_root, rows, monkeypatch):
    for code in ("good234", "evil234"):
        write_scan(spool, new_route(code=code))
    take_steps = Enrichment._take_steps

    def fail_on_evil(self, scans):
        if encode_string(b"evil234") in [route.short_code for route in scans.routes]:
            raise ZeroDivisionError
        take_steps(self, scans)

    monkeypatch.setattr(Enrichment, "_take_steps", fail_on_evil)
    spool.seal_if_due()
    await collector.collect()
    assert await rows("SELECT short_code FROM qr_scan_events") == [("good234",)]
    assert b"ZeroDivisionError" in _only(spool_root, REJECTED).read_bytes()


async def test_salts_are_there_before_the_first_scan_so_that_it_needs_no_postgres(
    collector, spool, spool_root, rows, monkeypatch
):
    running = asyncio.create_task(collector.run())
    await asyncio.to_thread(eventually, lambda: collector._visitors.has(datetime.now(UTC).date()))

    async def fail():
        raise StoreUnavailable("away")

    monkeypatch.setattr(collector._visitors, "_read_salts", fail)
    write_scan(spool, new_route())
    spool.seal_if_due()
    await asyncio.to_thread(eventually, lambda: any(spool_root.glob(f"*/*{ACKED}")))
    assert await rows("SELECT count() FROM qr_scan_events") == [(1,)]
    collector.stop()
    await running


async def test_a_postgres_that_refuses_the_salts_ends_nothing(collector, spool, rows, monkeypatch):
    write_scan(spool, new_route())
    spool.seal_if_due()
    read_salts = collector._visitors._read_salts

    async def refuse() -> None:
        raise StoreRejected("no permission")

    monkeypatch.setattr(collector._visitors, "_read_salts", refuse)
    assert await collector.collect() == 0
    monkeypatch.setattr(collector._visitors, "_read_salts", read_salts)
    await take(collector, 1)
    assert await rows("SELECT count(), countIf(visitor = 0) FROM qr_scan_events") == [(1, 0)]

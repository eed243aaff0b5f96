"""A worker on real stores: what it answers, what it records. Each way of answering is held to the same."""

import asyncio
from uuid import UUID

import msgspec
import pytest

from scanhop.devstack import EmbeddedStack
from scanhop.stores.postgres import Postgres
from scanhop.stores.routes import UNREADABLE, RouteCache, RouteTable
from scanhop.wire.ids import DEFAULT_DOMAIN_ID
from scanhop.wire.redis_keys import route_key
from scanhop.wire.route import Status, decode_route
from scanhop.wire.scan_record import Outcome
from tests.edge_worker import AWAY_POSTGRES, AWAY_REDIS, EdgeWorker, eventually, insert_code

ONE_NETWORK = 60  # what it may ask for at once


@pytest.fixture(params=["protocol", "application"])
async def worker(new_worker, request) -> EdgeWorker:
    return await new_worker(by_application=request.param == "application")


async def test_an_active_code_redirects_and_the_scan_is_in_the_spool_before_the_answer(worker):
    route = await worker.publish(target_url="https://example.com/a?b=c#d")
    for seen in (1, 2, 3):
        answer = await worker.get(
            "/r/abc2345", ("User-Agent", "phone"), ("Referer", "https://x.example/"), ("Cookie", "a=b")
        )
        assert answer.status == 302
        assert answer.location == "https://example.com/a?b=c#d"
        assert answer.header("cache-control") == "private, no-store"
        assert answer.header("x-robots-tag") == "noindex"
        assert answer.header("date").endswith(" GMT")
        assert answer.header("set-cookie") is None
        assert answer.body == b""
        scans = worker.scans()
        assert len(scans) == seen
        assert scans[-1].qr_id == route.qr_id
        assert scans[-1].outcome is Outcome.REDIRECT
        assert scans[-1].peer == b"\x7f\0\0\1"
        assert scans[-1].headers == {b"user-agent": b"phone", b"referer": b"https://x.example/"}


async def test_any_spelling_finds_the_code(worker):
    await worker.publish()
    spellings = [
        "/r/ABC2345",
        "/R/ABC2345",
        "/R/abc2345",
        "/r/aBc2345",
        "/r/%61bc2345",
        "/r/abc2345#x",
        "/r/abc2345?x",
    ]
    for path in spellings * 2:
        assert (await worker.get(path)).status == 302, path


async def test_head_gives_the_same_headers_and_is_no_scan(worker):
    await worker.publish()
    for _ in range(2):
        answer = await worker.head("/r/abc2345")
        assert (answer.status, answer.location) == (302, "https://example.com/")
    assert worker.outcomes() == ["head", "head"]


async def test_the_codes_own_redirect_status_is_used_and_a_permanent_one_kept_briefly(worker):
    for status in (301, 302, 307, 308):
        await worker.publish(code=f"code{status}", redirect_status=status)
        kept = "private, max-age=30" if status in (301, 308) else "private, no-store"
        for _ in range(3):
            answer = await worker.get(f"/r/code{status}")
            assert answer.status == status
            assert answer.header("cache-control") == kept


STATES: dict[str, tuple[dict[str, object], int, str]] = {
    "archived": ({"status": Status.ARCHIVED}, 302, "redirect"),
    "paused": ({"status": Status.PAUSED}, 410, "paused"),
    "deleted": ({"status": Status.DELETED}, 410, "deleted"),
    "banned": ({"status": Status.BANNED}, 403, "banned"),
    "banned-by-law": ({"status": Status.BANNED, "banned_for_legal_reason": True}, 451, "banned"),
    "not-yet": ({"opens_at_ns": 2**62}, 404, "not_yet"),
    "expired": ({"closes_at_ns": 1}, 410, "expired"),
    "limit": ({"max_scans": 0}, 410, "limit"),
}


async def test_each_state_has_its_answer(worker):
    for code, (fields, http_status, outcome) in STATES.items():
        before = len(worker.scans())
        await worker.publish(code=code, **fields)
        for _ in range(3):
            answer = await worker.get(f"/r/{code}")
            assert answer.status == http_status, code
            if http_status >= 400:
                assert answer.header("content-type") == "text/html; charset=utf-8"
                assert "default-src 'none'" in answer.header("content-security-policy")
                assert 0 < len(answer.body) < 4096
        assert worker.outcomes()[before:] == [outcome] * 3
        head = await worker.head(f"/r/{code}")
        assert (head.status, head.header("content-length")) == (http_status, answer.header("content-length"))


async def test_a_closed_code_with_a_fallback_goes_there_and_one_that_is_gone_does_not(worker):
    for code, (fields, http_status, outcome) in STATES.items():
        before = len(worker.scans())
        fallback = "https://example.com/closed"
        await worker.publish(code=code, fallback_url=fallback, redirect_status=301, **fields)
        for _ in range(3):
            answer = await worker.get(f"/r/{code}")
            if outcome in ("paused", "not_yet", "expired", "limit"):
                assert (answer.status, answer.location) == (302, fallback)
                assert answer.header("cache-control") == "private, no-store"
            else:
                assert answer.location != fallback
                assert answer.status == (301 if outcome == "redirect" else http_status)
        assert worker.outcomes()[before:] == [outcome] * 3


async def test_an_unknown_code_is_answered_404_and_kept_as_an_orphan(worker):
    for _ in range(2):
        assert (await worker.get("/r/NoSuch1")).status == 404
    for scan in worker.scans():
        assert (scan.outcome, scan.code, scan.qr_id) == (Outcome.UNKNOWN, "nosuch1", bytes(16))
        assert scan.domain_id == DEFAULT_DOMAIN_ID.bytes
    assert len(worker.scans()) == 2


async def test_a_path_that_is_no_code_is_unknown_too(worker):
    codes = ["%00", "%ff%fe", "x" * 3000, "%0d%0aSet-Cookie:a=b", "..%2f", "%E2%84%AAabc", "healthz", "-abc", "a.b"]
    for number, code in enumerate(codes * 2, 1):
        answer = await worker.get(f"/r/{code}")
        assert answer.status == 404, code
        assert answer.header("content-type") == "text/html; charset=utf-8", code
        assert answer.header("set-cookie") is None
        assert worker.outcomes() == ["unknown"] * number
    assert all(len(scan.code) <= 63 for scan in worker.scans())


async def test_a_path_of_no_scan_is_answered_404_and_not_recorded(worker):
    await worker.publish()
    paths = [
        "/",
        "/abc2345",
        "/r",
        "/r/",
        "/r//abc2345",
        "/r/abc2345/",
        "/r/abc2345/x",
        "//r/abc2345",
        "/%72/abc2345",
    ]
    for path in [*paths, "/x%0Ay", "/favicon.ico", "/.well-known/x", "/v1"]:
        answer = await worker.get(path)
        assert answer.status == 404, path
        assert answer.header("content-type") == "text/html; charset=utf-8", path
    assert worker.scans() == []


async def test_other_methods_are_refused_with_allow(worker):
    await worker.publish()
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW", "get"):
        for path in ("/r/abc2345", "/r/nosuch1", "/r/%00", "/", "/x%0Ay", "/healthz"):
            answer = await worker.request(method, path)
            assert answer.status == 405, (method, path)
            assert {word.strip() for word in answer.header("allow").split(",")} == {"GET", "HEAD"}
    assert worker.scans() == []


async def test_the_asterisk_is_answered(worker):
    assert (await worker.request("OPTIONS", "*")).status == 405


# --- the stores ---


async def test_a_code_that_redis_lacks_comes_from_postgres_and_is_put_into_redis(worker, postgres_dsn):
    await insert_code(postgres_dsn, "fromdb1")
    assert (await worker.get("/r/fromdb1")).location == "https://example.com/from-postgres"

    async def is_in_redis() -> bool:
        (held,), _ = await RouteCache(worker.redis).list_routes([(DEFAULT_DOMAIN_ID.bytes, "fromdb1")])
        return held is not None and decode_route(held).target_url == "https://example.com/from-postgres"

    await eventually(is_in_redis)


async def test_a_code_that_redis_lacks_is_unknown_while_redis_holds_all(worker, postgres_dsn):
    await worker.complete()
    await insert_code(postgres_dsn, "fromdb1")
    assert (await worker.get("/r/fromdb1")).status == 404
    assert worker.edge.resolver.sources["postgres"] == 0


async def test_a_route_that_cannot_be_read_is_asked_for_in_postgres_though_redis_holds_all(worker, postgres_dsn):
    await worker.complete()
    await insert_code(postgres_dsn, "fromdb1")
    await worker.redis.set(route_key(DEFAULT_DOMAIN_ID, "fromdb1"), UNREADABLE)
    assert (await worker.get("/r/fromdb1")).status == 302


async def test_the_marker_of_another_server_says_nothing(worker, postgres_dsn):
    await worker.redis.set("routes_complete", "0" * 40)
    await insert_code(postgres_dsn, "fromdb1")
    assert (await worker.get("/r/fromdb1")).status == 302


async def test_without_redis_routes_come_from_postgres(new_worker, postgres_dsn):
    worker = await new_worker(redis=AWAY_REDIS)
    await insert_code(postgres_dsn, "fromdb1")
    assert (await worker.get("/r/fromdb1")).status == 302
    assert (await worker.get("/r/nosuch1")).status == 404
    assert (await worker.get("/readyz")).status == 200


async def test_without_postgres_every_published_code_redirects(new_worker):
    worker = await new_worker(postgres=AWAY_POSTGRES)
    await worker.publish()
    assert (await worker.get("/r/abc2345")).status == 302
    assert (await worker.get("/r/nosuch1")).status == 503
    await worker.complete()
    assert (await worker.get("/r/nosuch2")).status == 404


async def test_without_both_a_remembered_code_redirects_and_another_is_unavailable(new_worker, tmp_path):
    with EmbeddedStack(tmp_path / "redis", postgres=False, clickhouse=False) as own:
        worker = await new_worker(redis=own.addresses.redis_url, postgres=AWAY_POSTGRES)
        await worker.publish()
        assert (await worker.get("/r/abc2345")).status == 302
    await eventually(lambda: not worker.edge.follower.is_connected)
    for _ in range(3):
        assert (await worker.get("/r/abc2345")).status == 302
    answer = await worker.get("/r/other12")
    assert answer.status == 503
    assert int(answer.header("retry-after")) > 0
    assert (await worker.get("/readyz")).status == 503
    assert (await worker.get("/healthz")).status == 200
    assert worker.outcomes() == ["redirect"] * 4
    assert worker.edge.redirector.unavailable == 1


async def test_without_news_an_edit_takes_effect_when_the_time_to_live_is_over(new_worker, monkeypatch):
    """The worker hears of no change: its Redis and the one it listens to are two."""
    monkeypatch.setattr("edge.invalidation.TRACKED_TTL_S", 0.2)
    worker = await new_worker()
    monkeypatch.setattr(worker.edge.follower, "on_codes", lambda codes: None)
    route = await worker.publish()
    assert (await worker.get("/r/abc2345")).location == "https://example.com/"
    newer = msgspec.structs.replace(route, version=2, target_url="https://example.com/new")
    await worker.routes.put_if_newer(newer)

    async def is_in_effect() -> bool:
        return (await worker.get("/r/abc2345")).location == "https://example.com/new"

    await eventually(is_in_effect)


@pytest.mark.parametrize("is_damaged", [True, False])
async def test_one_bad_value_in_redis_harms_no_other_code_of_its_batch(worker, postgres_dsn, is_damaged):
    """A route with an address that no header can hold, or no route at all."""
    bad = await worker.publish(code="bad2345", target_url="https://ex\u00e4mple.com/")
    if is_damaged:
        await worker.redis.set(route_key(bad.domain_id, "bad2345"), b"\x01nonsense, and more of it")
    await insert_code(postgres_dsn, "fromdb1")
    await worker.publish(code="good234")
    codes = ["fromdb1", "bad2345", "good234", "nosuch1"]
    answers = await asyncio.gather(*(worker.get(f"/r/{code}") for code in codes))
    assert [answer.status for answer in answers][0::2] == [302, 302]
    assert answers[1].status in (404, 503)
    assert answers[3].status == 404


# --- unknown codes beyond the budget ---


async def ask_for_many_unknown_codes(worker: EdgeWorker) -> None:
    async with await worker.connect() as client:
        for number in range(ONE_NETWORK + 20):
            await client.send(f"GET /r/guess{number} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            assert (await client.read()).status == 404


@pytest.mark.parametrize("is_complete", [True, False], ids=["redis holds all", "postgres is asked"])
async def test_beyond_its_budget_a_network_gets_a_short_404_that_is_not_recorded(worker, is_complete, monkeypatch):
    monkeypatch.setattr("edge.unknown_budget.REFILL_PER_S", 0.0)
    if is_complete:
        await worker.complete()
    await ask_for_many_unknown_codes(worker)
    assert len(worker.scans()) == ONE_NETWORK
    asked = worker.edge.resolver.sources["postgres"]
    for path in ("/r/guess1000", "/r/guess0", "/r/%00"):
        answer = await worker.get(path)
        assert answer.status == 404
        assert len(answer.body) < 100
    assert len(worker.scans()) == ONE_NETWORK
    assert worker.edge.resolver.sources["postgres"] == asked == (0 if is_complete else ONE_NETWORK)
    assert worker.edge.budget.exceeded == 23
    assert worker.edge.redirector.unavailable == 0


async def test_beyond_its_budget_a_network_still_finds_what_redis_holds(worker, monkeypatch):
    monkeypatch.setattr("edge.unknown_budget.REFILL_PER_S", 0.0)
    await worker.complete()
    await ask_for_many_unknown_codes(worker)
    await worker.publish(code="menu234")
    answer = await worker.get("/r/menu234")
    assert answer.status == 302
    assert worker.outcomes()[-1] == "redirect"


async def test_the_budget_of_one_network_is_not_anothers(new_worker, monkeypatch):
    monkeypatch.setattr("edge.unknown_budget.REFILL_PER_S", 0.0)
    worker = await new_worker(trusted=["127.0.0.0/8"])
    await worker.complete()
    for _ in range(ONE_NETWORK + 1):
        await worker.get("/r/nosuch1", ("X-Forwarded-For", "198.51.100.7"))
    assert len((await worker.get("/r/nosuch1", ("X-Forwarded-For", "198.51.100.200"))).body) < 100
    assert len((await worker.get("/r/nosuch1", ("X-Forwarded-For", "198.51.101.7"))).body) > 100
    assert len(worker.scans()) == ONE_NETWORK + 1


# --- the spool ---


async def test_a_full_spool_does_not_stop_the_redirect_and_is_counted(new_worker):
    worker = await new_worker(max_bytes=0)
    await worker.publish()
    for _ in range(3):
        assert (await worker.get("/r/abc2345")).status == 302
    metrics = (await worker.get("/metrics")).body.decode()
    assert 'scanhop_edge_lost_scans_total{reason="spool_full",worker="0"} 3.0' in metrics
    assert 'scanhop_edge_scans_total{outcome="redirect",worker="0"} 3.0' in metrics


async def test_the_metrics_tell_what_waits_in_the_spool(worker):
    await worker.publish()
    await worker.get("/r/abc2345")

    async def is_told() -> bool:
        metrics = (await worker.get("/metrics")).body.decode()
        assert 'scanhop_edge_spooled_scans_total{state="written",worker="0"} 1.0' in metrics
        return 'scanhop_edge_spool_waiting{what="segments",worker="0"} 1.0' in metrics

    await eventually(is_told)


async def test_each_answer_is_counted_with_its_source(worker):
    await worker.publish()
    for _ in range(4):
        await worker.get("/r/abc2345")
    metrics = (await worker.get("/metrics")).body.decode()
    assert 'scanhop_edge_routes_total{source="redis",worker="0"} 1.0' in metrics
    assert 'scanhop_edge_routes_total{source="cache",worker="0"} 3.0' in metrics


async def test_robots_are_kept_out(worker):
    assert (await worker.get("/robots.txt")).body == b"User-agent: *\nDisallow: /\n"


async def test_the_route_table_reads_what_the_view_says(postgres_dsn):
    postgres = Postgres(postgres_dsn, max_connections=1, command_timeout_s=2)
    try:
        await insert_code(postgres_dsn, "view123", status="banned", ban_reason="legal", version=9)
        route = await RouteTable(postgres).find_route(UUID(int=DEFAULT_DOMAIN_ID.int), "view123")
        assert (route.version, route.status, route.banned_for_legal_reason) == (9, Status.BANNED, True)
        assert await RouteTable(postgres).find_route(DEFAULT_DOMAIN_ID, "absent1") is None
    finally:
        await postgres.close()

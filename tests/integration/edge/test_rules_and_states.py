"""What a code's owner decided, through workers on real stores: limits, passwords, windows, rules, domains."""

import asyncio
import time
from collections import Counter
from typing import Any
from urllib.parse import quote_plus

import msgspec
import pytest
from argon2 import PasswordHasher

from scanhop.routing.rule_compilation import compile_rule
from scanhop.routing.rules import parse_rules
from scanhop.spool.writer import RecordClock
from scanhop.stores.domains import DomainCache
from scanhop.stores.scan_counters import ScanCounters, ScanCountTable
from scanhop.wire.domains import Domain
from scanhop.wire.route import Rule, Status
from tests.edge_worker import AWAY_POSTGRES, AWAY_REDIS, Answer, EdgeWorker, eventually, insert_code
from tests.routes import PHONE, new_id
from tests.unit.client_facts.mmdb import maxmind, write_mmdb

AGENT = ("User-Agent", PHONE.decode())
BOT = ("User-Agent", "facebookexternalhit/1.1")
DESKTOP = ("User-Agent", "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:126.0) Gecko/20100101 Firefox/126.0")
PREFETCH = ("Sec-Purpose", "prefetch")
HASHER = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
FALLBACK = "https://example.com/closed"


def compiled(*rules: dict[str, Any]) -> tuple[Rule, ...]:
    return tuple(compile_rule(rule) for rule in parse_rules(list(rules)))


async def ask_many(worker: EdgeWorker, times: int) -> list[Answer]:
    async with await worker.connect() as client:
        return [
            await client.ask(b"GET /r/abc2345 HTTP/1.1\r\nHost: a\r\nUser-Agent: %b\r\n\r\n" % PHONE)
            for _ in range(times)
        ]


# --- scan limits ---


async def test_of_a_limit_exactly_so_many_are_redirected_however_many_workers_there_are(new_worker):
    workers = [await new_worker() for _ in range(4)]
    route = await workers[0].publish(max_scans=50)
    await ScanCounters(workers[0].redis).raise_to(route.qr_id, 0)
    answers = await asyncio.gather(*(ask_many(worker, 10) for worker in workers * 3))
    statuses = Counter(answer.status for some in answers for answer in some)
    assert statuses == {302: 50, 410: 70}
    outcomes = Counter(outcome for worker in workers for outcome in worker.outcomes())
    assert outcomes == {"redirect": 50, "limit": 70}
    assert [worker.edge.limits.opened for worker in workers] == [0] * 4


async def test_the_first_scans_of_a_limited_code_may_come_all_at_once(new_worker, postgres_dsn):
    """Its counter is not there yet: each worker begins it from Postgres."""
    workers = [await new_worker() for _ in range(4)]
    await workers[0].publish(max_scans=7)
    answers = await asyncio.gather(*(ask_many(worker, 1) for worker in workers * 8))
    assert Counter(some[0].status for some in answers) == {302: 7, 410: 25}


async def test_programs_and_heads_take_nothing_from_a_limit_but_are_held_to_it(worker):
    await worker.publish(max_scans=2)
    for _ in range(3):
        assert (await worker.get("/r/abc2345", BOT)).status == 302
        assert (await worker.get("/r/abc2345", AGENT, PREFETCH)).status == 302
        assert (await worker.head("/r/abc2345", AGENT)).status == 302
    assert [answer.status for answer in await ask_many(worker, 3)] == [302, 302, 410]
    assert (await worker.get("/r/abc2345", BOT)).status == 410
    assert (await worker.head("/r/abc2345", AGENT)).status == 410


async def test_a_limited_code_goes_to_its_fallback(worker):
    await worker.publish(max_scans=1, fallback_url=FALLBACK, redirect_status=308)
    answers = await ask_many(worker, 3)
    assert [answer.status for answer in answers] == [308, 302, 302]
    assert answers[2].location == FALLBACK
    assert worker.outcomes() == ["redirect", "limit", "limit"]


async def test_a_closed_code_takes_nothing_from_its_limit(worker):
    route = await worker.publish(max_scans=1, opens_at_ns=2**62)
    assert [answer.status for answer in await ask_many(worker, 3)] == [404] * 3
    assert await ScanCounters(worker.redis).read(route.qr_id) is None


async def test_after_a_flush_a_count_begins_where_it_was_persisted(worker, postgres_dsn):
    qr_id = new_id()
    await insert_code(postgres_dsn, "abc2345", id=qr_id, max_scans=5)
    await ScanCountTable(worker.postgres).persist([(qr_id.bytes, 3)])
    assert [answer.status for answer in await ask_many(worker, 3)] == [302, 302, 410]
    await worker.redis.flushall()
    await eventually(lambda: worker.edge.resolver.generation > 1)
    assert [answer.status for answer in await ask_many(worker, 3)] == [302, 302, 410]
    assert worker.edge.limits.opened == 0


async def test_without_redis_a_limit_does_not_hold_and_that_is_counted(new_worker, postgres_dsn):
    worker = await new_worker(redis=AWAY_REDIS)
    qr_id = new_id()
    await insert_code(postgres_dsn, "abc2345", id=qr_id, max_scans=1)
    await ScanCountTable(worker.postgres).persist([(qr_id.bytes, 1)])
    assert [answer.status for answer in await ask_many(worker, 3)] == [302] * 3
    assert worker.edge.limits.opened == 3
    assert worker.outcomes() == ["redirect"] * 3


async def test_a_limit_holds_though_postgres_is_away(new_worker):
    worker = await new_worker(postgres=AWAY_POSTGRES)
    route = await worker.publish(max_scans=3)
    await ScanCounters(worker.redis).raise_to(route.qr_id, 2)
    assert [answer.status for answer in await ask_many(worker, 3)] == [302, 410, 410]


async def test_a_rule_may_ask_how_often_a_code_was_scanned(worker):
    first_two = {"when": [{"field": "scans", "op": "lt", "value": 2}], "target_url": "https://example.com/early"}
    await worker.publish(rules=compiled(first_two))
    early, late = "https://example.com/early", "https://example.com/"
    assert (await worker.get("/r/abc2345", BOT)).location == early
    assert [answer.location for answer in await ask_many(worker, 4)] == [early, early, late, late]
    assert (await worker.get("/r/abc2345", BOT)).location == late


# --- passwords ---


@pytest.fixture
async def locked(new_worker) -> EdgeWorker:
    worker = await new_worker(trusted=["127.0.0.0/8"])
    await worker.publish(
        password_hash=HASHER.hash("s\u00e9same & co"), redirect_status=308, forward_query=True, max_scans=3
    )
    return worker


RIGHT = b"password=" + quote_plus("s\u00e9same & co").encode()


async def test_a_locked_code_shows_a_form_and_the_right_password_opens_it(locked):
    page = await locked.get("/r/abc2345?a=b")
    assert (page.status, page.location) == (200, None)
    assert b"<form" in page.body
    assert b'name="password"' in page.body
    assert b"example.com" not in page.body
    assert page.header("cache-control") == "private, no-store"
    wrong = await locked.send_form("/r/abc2345", b"password=wrong")
    assert wrong.status == 403
    assert b"<form" in wrong.body
    right = await locked.send_form("/r/abc2345?a=b", RIGHT)
    assert (right.status, right.location) == (303, "https://example.com/?a=b")
    assert right.header("cache-control") == "private, no-store"
    assert right.header("set-cookie") is None
    assert locked.outcomes() == ["locked", "locked", "redirect"]
    assert (await locked.head("/r/abc2345")).status == 200
    assert locked.outcomes()[-1] == "head"


async def test_what_is_no_form_is_no_password(locked):
    for body in (b"", b"password=", b"password", b"Password=x", b"\xff\xfe", b"&" * 1000, b"password=" + b"x" * 1000):
        assert (
            await locked.send_form("/r/abc2345", body, ("X-Forwarded-For", f"198.51.{len(body) % 250}.1"))
        ).status == 403
    for kind in ("text/plain", "multipart/form-data; boundary=x", "application/json"):
        headers = [("Content-Type", kind), ("X-Forwarded-For", "203.0.113.1")]
        assert (await locked.request("POST", "/r/abc2345", headers, RIGHT)).status == 403
    headers = [("X-Forwarded-For", "203.0.114.1")]
    assert (await locked.request("POST", "/r/abc2345", headers, RIGHT)).status == 403
    assert set(locked.outcomes()) == {"locked"}


async def test_the_password_is_never_taken_from_the_address(locked):
    assert (await locked.get("/r/abc2345?" + RIGHT.decode())).status == 200
    assert (await locked.send_form("/r/abc2345?" + RIGHT.decode(), b"password=wrong")).status == 403


async def test_a_password_is_in_no_record(locked):
    await locked.send_form("/r/abc2345", b"password=open-sesame-marker")
    assert b"open-sesame-marker" not in locked.spool_bytes()


async def test_too_many_tries_are_refused_whatever_they_say_for_this_network_alone(locked):
    here, there = ("X-Forwarded-For", "198.51.100.7"), ("X-Forwarded-For", "203.0.113.7")
    neighbour = ("X-Forwarded-For", "198.51.100.99")
    for _ in range(10):
        assert (await locked.send_form("/r/abc2345", b"password=wrong", here)).status == 403
    for who in (here, neighbour):
        refused = await locked.send_form("/r/abc2345", RIGHT, who)
        assert (refused.status, refused.location) == (429, None)
    assert (await locked.get("/r/abc2345", here)).status == 200
    assert (await locked.send_form("/r/abc2345", RIGHT, there)).status == 303
    assert locked.outcomes()[-3:] == ["locked", "locked", "redirect"]


async def test_the_limit_is_judged_before_the_password_and_the_form_counts_no_scan(locked):
    for _ in range(5):
        assert (await locked.get("/r/abc2345", AGENT)).status == 200
        assert (await locked.send_form("/r/abc2345", b"password=wrong", AGENT)).status == 403
    for _ in range(3):
        assert (await locked.send_form("/r/abc2345", RIGHT, AGENT)).status == 303
    assert (await locked.get("/r/abc2345", AGENT)).status == 410
    assert (await locked.send_form("/r/abc2345", RIGHT, AGENT)).status == 410
    for _ in range(12):  # nor is it a try
        assert (await locked.send_form("/r/abc2345", b"password=wrong", AGENT)).status == 410
    assert locked.outcomes()[-14:] == ["limit"] * 14


async def test_a_closed_code_asks_for_no_password(worker):
    password_hash = HASHER.hash("x")
    for number, state in enumerate(({"status": Status.PAUSED}, {"closes_at_ns": 1}, {"opens_at_ns": 2**62})):
        await worker.publish(code=f"code{number}", fallback_url=FALLBACK, password_hash=password_hash, **state)
        assert (await worker.get(f"/r/code{number}")).location == FALLBACK
        answer = await worker.send_form(f"/r/code{number}", b"password=x")
        assert answer.status in (302, 303, 405)
        assert answer.location in (FALLBACK, None)


async def test_a_password_needs_no_store_of_counts(new_worker, postgres_dsn):
    """Nor is a limit that does not hold counted, where there is none."""
    worker = await new_worker(redis=AWAY_REDIS)
    await insert_code(postgres_dsn, "abc2345", password_hash=HASHER.hash("x"))
    assert (await worker.get("/r/abc2345")).status == 200
    assert (await worker.send_form("/r/abc2345", b"password=x")).status == 303
    assert worker.edge.limits.opened == 0


async def test_scans_of_a_code_without_a_limit_are_not_counted_in_redis(worker):
    await worker.publish(password_hash=HASHER.hash("x"))
    await worker.get("/r/abc2345")
    await worker.send_form("/r/abc2345", b"password=x")
    assert await worker.redis.keys("scans*") == []


# --- windows, queries, rules ---


async def test_a_code_opens_and_closes_by_the_clock(worker, monkeypatch):
    moment = time.time_ns()
    await worker.publish(code="opening", opens_at_ns=moment + 10**9)
    await worker.publish(code="closing", closes_at_ns=moment + 10**9)
    for seconds, statuses in ((0, [404, 302]), (1, [302, 410]), (2, [302, 410])):
        clock = RecordClock(lambda seconds=seconds: moment + seconds * 10**9)
        monkeypatch.setattr(worker.spool._writer, "clock", clock)
        for _ in range(2):
            assert [(await worker.get(path)).status for path in ("/r/opening", "/r/closing")] == statuses


async def test_the_page_of_a_code_that_is_not_open_says_when_it_opens(worker):
    await worker.publish(opens_at_ns=1_924_992_000 * 10**9)  # the first of 2031
    assert b"2031" in (await worker.get("/r/abc2345")).body


@pytest.mark.parametrize(
    ("target", "pinned", "query", "location"),
    [
        ("https://e.example/", (), "a=b", "https://e.example/?a=b"),
        ("https://e.example/?x=1&y=2#end", (), "x=9&z=3", "https://e.example/?y=2&x=9&z=3#end"),
        ("https://e.example/?x=1", ("x",), "x=9&%78=8&z", "https://e.example/?x=1&z"),
        ("https://e.example/?x=1", (), "", "https://e.example/?x=1"),
        ("https://e.example/", (), "a=%0d%0aX:b&c='<>", "https://e.example/?a=%0d%0aX:b&c=%27%3C%3E"),
        ("https://e.example/", (), "q=" + "x" * 5000, "https://e.example/"),
    ],
)
async def test_the_query_is_handed_on(worker, target, pinned, query, location):
    await worker.publish(target_url=target, forward_query=True, pinned_query=pinned)
    for _ in range(2):
        assert (await worker.get(f"/r/abc2345?{query}")).location == location
    assert (await worker.get(f"/r/abc2345?{query}#top")).location == location


async def test_without_being_told_a_query_is_not_handed_on(worker):
    await worker.publish()
    for query in ("?a=b", "?url=https://evil.example/", "?a=b"):
        assert (await worker.get(f"/r/abc2345{query}")).location == "https://example.com/"


def rule(rule_id: str, target: str, *when: dict[str, Any]) -> dict[str, Any]:
    return {"id": rule_id, "when": list(when), "target_url": f"https://e.example/{target}"}


def one_of(field: str, *value: str) -> dict[str, Any]:
    return {"field": field, "op": "in", "value": list(value)}


RULES = compiled(
    rule("phone", "handy", one_of("device", "mobile"), one_of("language", "de")),
    rule("linz", "linz", one_of("city", "Linz")),
    rule("net", "net", one_of("ip", "203.0.113.0/24", "2001:db8::/32")),
    rule("table", "table", {"field": "query", "key": "table", "op": "exists"}),
    rule("past", "past", {"field": "date", "op": "between", "value": {"to": "2020-01-01"}}),
    rule("fox", "fox", one_of("browser", "Firefox")),
)


async def test_the_first_rule_that_is_met_in_full_says_where_to_go(new_worker, tmp_path):
    geoip = write_mmdb(tmp_path / "geo.mmdb", {"81.10.0.0/16": maxmind("AT", "Upper Austria", "Linz")})
    worker = await new_worker(trusted=["127.0.0.0/8"], geoip_path=geoip)
    await worker.publish(rules=RULES)
    german, from_linz = ("Accept-Language", "de-AT, en;q=0.5"), ("X-Forwarded-For", "81.10.3.4")
    expected = [
        ("", [AGENT, german], "phone"),
        ("", [AGENT], ""),
        ("", [DESKTOP, german], "fox"),
        ("", [AGENT, german, from_linz], "phone"),
        ("", [AGENT, from_linz], "linz"),
        ("", [("X-Forwarded-For", "203.0.113.5")], "net"),
        ("", [("X-Forwarded-For", "2001:db8::5")], "net"),
        ("", [("X-Forwarded-For", "203.0.113.5, 198.51.100.1")], ""),
        ("?table", [AGENT], "table"),
        ("?Table=1", [AGENT], ""),
    ]
    targets = {"phone": "handy", "linz": "linz", "net": "net", "fox": "fox", "table": "table"}
    for query, headers, rule_id in expected * 2:
        answer = await worker.get(f"/r/abc2345{query}", *headers)
        known = f"https://e.example/{targets[rule_id]}" if rule_id else "https://example.com/"
        assert (answer.location, worker.scans()[-1].rule_id) == (known, rule_id), (query, headers)


async def test_a_client_gets_the_same_variant_from_every_worker_and_the_clients_are_divided(new_worker):
    variants = [
        {"name": name, "weight": weight, "target_url": f"https://{name}.example/"}
        for name, weight in (("a", 1), ("b", 3))
    ]
    workers = [await new_worker(trusted=["127.0.0.0/8"]) for _ in range(2)]
    any_device = {"field": "device", "op": "not_in", "value": ["bot"]}
    await workers[0].publish(rules=compiled({"id": "ab", "when": [any_device], "variants": variants}))
    seen = Counter()
    for number in range(60):
        address = ("X-Forwarded-For", f"198.51.100.{number}")
        locations = {(await worker.get("/r/abc2345", AGENT, address)).location for worker in workers * 2}
        assert len(locations) == 1
        seen.update(locations)
        assert {worker.scans()[-1].variant for worker in workers} == {locations.pop()[8]}
    assert seen["https://b.example/"] > seen["https://a.example/"] > 0
    assert {scan.rule_id for worker in workers for scan in worker.scans()} == {"ab"}


# --- domains ---


@pytest.fixture
async def hosted(worker) -> EdgeWorker:
    """With two custom domains, one of them exact."""
    folding = Domain(new_id().bytes, "qr.custom", not_found_url="https://custom.example/404")
    exact = Domain(new_id().bytes, "exact.custom", is_exact=True)
    await DomainCache(worker.redis).put_domains([folding, exact], 1)
    await eventually(lambda: len(worker.edge.domains.custom) == 2)
    await worker.publish(domain_id=folding.id, code="menu", target_url="https://custom.example/menu")
    await worker.publish(domain_id=exact.id, code="Menu", target_url="https://exact.example/Menu")
    await worker.publish(domain_id=exact.id, code="menu", target_url="https://exact.example/menu")
    await worker.publish(code="menu")
    return worker


async def test_each_domain_has_codes_of_its_own(hosted):
    expected = [
        ("qr.example", "/r/menu", "https://example.com/"),
        ("qr.example", "/R/MENU", "https://example.com/"),
        ("192.0.2.1:8080", "/r/menu", "https://example.com/"),
        ("qr.custom", "/menu", "https://custom.example/menu"),
        ("QR.Custom.:8080", "/MENU", "https://custom.example/menu"),
        ("qr.custom", "/r/menu", "https://custom.example/menu"),
        ("qr.custom", "/R/MENU", "https://custom.example/menu"),
        ("exact.custom", "/Menu", "https://exact.example/Menu"),
        ("exact.custom", "/menu", "https://exact.example/menu"),
        ("exact.custom", "/r/Menu", "https://exact.example/Menu"),
    ]
    for host, path, location in expected * 3:
        assert (await hosted.get(path, host=host)).location == location, (host, path)
    for host, path in (("qr.example", "/menu"), ("exact.custom", "/MENU"), ("sub.qr.custom", "/menu")):
        assert (await hosted.get(path, host=host)).status == 404, (host, path)


async def test_an_unknown_code_goes_where_its_domain_says(hosted):
    for path in ("/nosuch1", "/r/nosuch1", "/%00", "/", "/a/b"):
        for _ in range(2):
            answer = await hosted.get(path, host="qr.custom")
            assert (answer.status, answer.location) == (302, "https://custom.example/404"), path
            assert answer.header("cache-control") == "private, no-store"
        assert (await hosted.get(path, host="exact.custom")).status == 404
    unknown = hosted.scans()
    assert [scan.outcome.label for scan in unknown] == ["unknown"] * 9
    assert [scan.code for scan in unknown].count("nosuch1") == 6
    assert len({scan.domain_id for scan in unknown}) == 2


async def test_what_is_reserved_is_the_same_on_every_domain(hosted):
    for host in ("qr.example", "qr.custom", "exact.custom"):
        assert (await hosted.get("/healthz", host=host)).body == b"ok\n"
        assert (await hosted.get("/robots.txt", host=host)).body.startswith(b"User-agent")
        assert (await hosted.get("/readyz", host=host)).status == 200
        for path in ("/favicon.ico", "/.well-known", "/v1", "/docs", "/r"):
            assert (await hosted.get(path, host=host)).status in (302, 404)
    assert hosted.scans() == []


async def test_an_edit_of_a_route_keeps_its_place_in_the_records(worker):
    route = await worker.publish()
    await worker.get("/r/abc2345")
    await worker.routes.put_if_newer(msgspec.structs.replace(route, version=2))

    async def is_new() -> bool:
        await worker.get("/r/abc2345")
        return worker.scans()[-1].route_version == 2

    await eventually(is_new)
    assert {scan.qr_id for scan in worker.scans()} == {route.qr_id}

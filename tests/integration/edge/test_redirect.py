"""The worker's application on real stores, without the process around it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from uuid import UUID

import asyncpg
import httpx
import msgspec
import pytest

from edge.app import Edge
from scanhop.devstack import EmbeddedStack
from scanhop.spool import SpoolLimits, SpoolWriter, read_segment
from scanhop.spool.segment import OPEN, SegmentName
from scanhop.stores.postgres import Postgres
from scanhop.stores.redis import open_redis
from scanhop.stores.routes import RouteCache, RouteTable
from scanhop.wire.ids import DEFAULT_DOMAIN_ID
from scanhop.wire.route import Route, Status
from scanhop.wire.scan_record import Outcome, ScanRecord, decode_scan
from tests.routes import new_id, new_route

AWAY_POSTGRES = "postgresql://nobody@127.0.0.1:1/none"
AWAY_REDIS = "redis://127.0.0.1:1/0"


class Worker:
    """One edge worker with a client of it."""

    def __init__(self, redis_url: str, postgres_dsn: str, spool_root: Path) -> None:
        self._root = spool_root
        self.redis = open_redis(redis_url, timeout_s=1)
        self.postgres = Postgres(postgres_dsn, max_connections=2, command_timeout_s=2)
        self.spool = SpoolWriter(spool_root, SpoolLimits(max_bytes=1 << 30, max_age_s=60))
        app = Edge(0, self.redis, self.postgres, self.spool).public_app(with_metrics=True)
        transport = httpx.ASGITransport(app, client=("192.0.2.9", 50000))
        self.client = httpx.AsyncClient(transport=transport, base_url="http://qr.example")

    async def publish(self, **fields: object) -> Route:
        route = new_route(**fields)
        assert await RouteCache(self.redis).put_if_newer(route)
        return route

    def scans(self) -> list[ScanRecord]:
        name = SegmentName(self.spool.spool_id, 1)
        if not name.path(self._root, OPEN).exists():
            return []
        return [decode_scan(payload) for _, payload in read_segment(name.path(self._root, OPEN), name).records]

    async def close(self) -> None:
        await self.client.aclose()
        await self.redis.aclose()
        await self.postgres.close()
        self.spool.close()


@pytest.fixture
async def new_worker(redis_url, postgres_dsn, spool_root) -> AsyncIterator[Callable[..., Worker]]:
    async with contextlib.AsyncExitStack() as stack:

        def build(redis: str = redis_url, postgres: str = postgres_dsn) -> Worker:
            worker = Worker(redis, postgres, spool_root)
            stack.push_async_callback(worker.close)
            return worker

        yield build


@pytest.fixture
def worker(new_worker):
    return new_worker()


async def insert_code(dsn: str, code: str, **columns: object) -> None:
    """A code in Postgres, with its own user and workspace."""
    connection = await asyncpg.connect(dsn)
    try:
        workspace = new_id()
        await connection.execute("INSERT INTO workspaces (id, name) VALUES ($1, 'w')", workspace)
        usual = {
            "id": new_id(),
            "workspace_id": workspace,
            "domain_id": DEFAULT_DOMAIN_ID,
            "short_code": code,
            "name": code,
            "target_url": "https://example.com/from-postgres",
        }
        row = usual | columns
        names = ", ".join(row)
        places = ", ".join(f"${place}" for place in range(1, len(row) + 1))
        await connection.execute(f"INSERT INTO qr_codes ({names}) VALUES ({places})", *row.values())
    finally:
        await connection.close()


async def test_an_active_code_redirects_and_the_scan_is_in_the_spool_before_the_answer(worker):
    route = await worker.publish(target_url="https://example.com/a?b=c#d")
    answer = await worker.client.get(
        "/r/abc2345", headers={"User-Agent": "phone", "Referer": "https://x.example/", "Cookie": "a=b"}
    )
    assert answer.status_code == 302
    assert answer.headers["location"] == "https://example.com/a?b=c#d"
    assert answer.headers["cache-control"] == "private, no-store"
    assert answer.headers["x-robots-tag"] == "noindex"
    assert "set-cookie" not in answer.headers
    assert answer.content == b""
    (scan,) = worker.scans()
    assert scan.qr_id == route.qr_id
    assert scan.outcome is Outcome.REDIRECT
    assert scan.peer == b"\xc0\x00\x02\x09"
    assert scan.headers == {b"user-agent": b"phone", b"referer": b"https://x.example/"}


@pytest.mark.parametrize("path", ["/r/ABC2345", "/R/ABC2345", "/R/abc2345", "/r/aBc2345"])
async def test_any_case_finds_the_code(worker, path):
    await worker.publish()
    assert (await worker.client.get(path)).status_code == 302


async def test_head_gives_the_same_headers_and_is_no_scan(worker):
    await worker.publish()
    answer = await worker.client.head("/r/abc2345")
    assert (answer.status_code, answer.headers["location"]) == (302, "https://example.com/")
    assert [scan.outcome for scan in worker.scans()] == [Outcome.HEAD]


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_the_codes_own_redirect_status_is_used_and_a_permanent_one_kept_briefly(worker, status):
    await worker.publish(redirect_status=status)
    answer = await worker.client.get("/r/abc2345")
    assert answer.status_code == status
    kept = "private, max-age=30" if status in (301, 308) else "private, no-store"
    assert answer.headers["cache-control"] == kept


@pytest.mark.parametrize(
    ("status", "http_status", "outcome"),
    [
        (Status.ARCHIVED, 302, Outcome.REDIRECT),
        (Status.PAUSED, 410, Outcome.PAUSED),
        (Status.DELETED, 410, Outcome.DELETED),
        (Status.BANNED, 403, Outcome.BANNED),
    ],
)
async def test_each_status_has_its_answer(worker, status, http_status, outcome):
    await worker.publish(status=status)
    answer = await worker.client.get("/r/abc2345")
    assert answer.status_code == http_status
    assert [scan.outcome for scan in worker.scans()] == [outcome]
    if http_status >= 400:
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert len(answer.content) < 4096


async def test_a_paused_code_with_a_fallback_goes_there(worker):
    await worker.publish(status=Status.PAUSED, fallback_url="https://example.com/closed")
    answer = await worker.client.get("/r/abc2345")
    assert (answer.status_code, answer.headers["location"]) == (302, "https://example.com/closed")


async def test_an_unknown_code_is_answered_404_and_kept_as_an_orphan(worker):
    answer = await worker.client.get("/r/NoSuch1")
    assert answer.status_code == 404
    (scan,) = worker.scans()
    assert (scan.outcome, scan.code, scan.qr_id) == (Outcome.UNKNOWN, "nosuch1", bytes(16))


@pytest.mark.parametrize(
    "path", ["/r/%00", "/r/%ff%fe", "/r/" + "x" * 3000, "/r/%0d%0aSet-Cookie:a=b", "/r/..%2f", "/"]
)
async def test_a_path_that_is_no_code_is_unknown_too(worker, path):
    answer = await worker.client.get(path)
    assert answer.status_code == 404
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_other_methods_are_refused_with_allow(worker, method):
    await worker.publish()
    answer = await worker.client.request(method, "/r/abc2345")
    assert answer.status_code == 405
    assert {word.strip() for word in answer.headers["allow"].split(",")} == {"GET", "HEAD"}
    assert worker.scans() == []


async def test_a_code_that_redis_lacks_comes_from_postgres_and_is_put_into_redis(worker, postgres_dsn):
    await insert_code(postgres_dsn, "fromdb1")
    answer = await worker.client.get("/r/fromdb1")
    assert answer.headers["location"] == "https://example.com/from-postgres"
    (held,) = await RouteCache(worker.redis).list_routes([(DEFAULT_DOMAIN_ID.bytes, "fromdb1")])
    assert held.target_url == "https://example.com/from-postgres"


async def test_without_redis_routes_come_from_postgres(new_worker, postgres_dsn):
    worker = new_worker(redis=AWAY_REDIS)
    await insert_code(postgres_dsn, "fromdb1")
    assert (await worker.client.get("/r/fromdb1")).status_code == 302
    assert (await worker.client.get("/readyz")).status_code == 200


async def test_without_postgres_every_published_code_redirects(new_worker):
    worker = new_worker(postgres=AWAY_POSTGRES)
    await worker.publish()
    assert (await worker.client.get("/r/abc2345")).status_code == 302
    assert (await worker.client.get("/r/nosuch1")).status_code == 503


async def test_without_both_a_remembered_code_redirects_and_another_is_unavailable(new_worker, monkeypatch, tmp_path):
    monkeypatch.setattr("edge.app.ROUTE_TTL_S", 0)
    with EmbeddedStack(tmp_path / "redis", postgres=False, clickhouse=False) as own:
        worker = new_worker(redis=own.addresses.redis_url, postgres=AWAY_POSTGRES)
        await worker.publish()
        assert (await worker.client.get("/r/abc2345")).status_code == 302
    assert (await worker.client.get("/r/abc2345")).status_code == 302
    answer = await worker.client.get("/r/other12")
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0
    assert (await worker.client.get("/readyz")).status_code == 503
    assert (await worker.client.get("/healthz")).status_code == 200


async def test_an_edit_takes_effect_when_the_time_to_live_is_over(new_worker, monkeypatch):
    monkeypatch.setattr("edge.app.ROUTE_TTL_S", 0.1)
    worker = new_worker()
    route = await worker.publish()
    assert (await worker.client.get("/r/abc2345")).headers["location"] == "https://example.com/"
    await RouteCache(worker.redis).put_if_newer(
        msgspec.structs.replace(route, version=2, target_url="https://example.com/new")
    )
    await asyncio.sleep(0.15)
    assert (await worker.client.get("/r/abc2345")).headers["location"] == "https://example.com/new"


async def test_a_full_spool_does_not_stop_the_redirect_and_is_counted(worker, monkeypatch):
    await worker.publish()
    monkeypatch.setattr(worker.spool, "_limits", SpoolLimits(max_bytes=0, max_age_s=60))
    assert (await worker.client.get("/r/abc2345")).status_code == 302
    metrics = (await worker.client.get("/metrics")).text
    assert 'scanhop_edge_lost_scans_total{reason="spool_full",worker="0"} 1.0' in metrics
    assert 'scanhop_edge_scans_total{outcome="redirect",worker="0"} 1.0' in metrics


async def test_the_metrics_tell_what_waits_in_the_spool(worker):
    await worker.publish()
    await worker.client.get("/r/abc2345")
    metrics = (await worker.client.get("/metrics")).text
    assert 'scanhop_edge_spooled_scans_total{state="written",worker="0"} 1.0' in metrics
    assert 'scanhop_edge_spool_waiting{what="segments",worker="0"} 1.0' in metrics


async def test_robots_are_kept_out(worker):
    assert (await worker.client.get("/robots.txt")).text == "User-agent: *\nDisallow: /\n"


async def test_the_route_table_reads_what_the_view_says(postgres_dsn):
    postgres = Postgres(postgres_dsn, max_connections=1, command_timeout_s=2)
    try:
        await insert_code(postgres_dsn, "view123", status="banned", ban_reason="legal", version=9)
        route = await RouteTable(postgres).find_route(UUID(int=DEFAULT_DOMAIN_ID.int), "view123")
        assert (route.version, route.status, route.banned_for_legal_reason) == (9, Status.BANNED, True)
        assert await RouteTable(postgres).find_route(DEFAULT_DOMAIN_ID, "absent1") is None
    finally:
        await postgres.close()

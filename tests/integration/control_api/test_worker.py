"""The worker as a process of its own."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import asyncpg
import orjson
import pytest
import redis
from pgqueuer.db import AsyncpgDriver
from pgqueuer.queries import Queries

from control_api.qr_codes.publication import enqueue_publication, enqueue_publications
from control_api.upkeep.daily_reconcile import RECONCILE, enqueue_reconcile
from scanhop.stores.routes import UNREADABLE
from scanhop.wire.ids import DEFAULT_DOMAIN_ID
from scanhop.wire.redis_keys import (
    DOMAINS_KEY,
    ROUTES_COMPLETE_KEY,
    SCANS_DIRTY_KEY,
    SCANS_PERSISTING_KEY,
    route_key,
    scans_key,
)
from tests.batches import Row, Warehouse
from tests.codes import insert_codes
from tests.product import eventually
from tests.redis_server import RedisServer
from tests.routes import new_id

Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def start() -> Iterator[Start]:
    running: list[subprocess.Popen[bytes]] = []

    def start_worker(postgres_dsn: str, redis_url: str, **variables: str) -> "subprocess.Popen[bytes]":
        env = {
            **os.environ,
            "SCANHOP_POSTGRES_DSN": postgres_dsn,
            "SCANHOP_REDIS_URL": redis_url,
            **{f"SCANHOP_{name.upper()}": value for name, value in variables.items()},
        }
        running.append(subprocess.Popen([sys.executable, "-m", "scanhop", "worker"], env=env, stderr=subprocess.PIPE))
        return running[-1]

    yield start_worker
    for process in running:
        process.kill()
        process.communicate()


def complete(client: "redis.Redis") -> bool:
    """The marker names the server it is on."""
    marker = client.get(ROUTES_COMPLETE_KEY)
    return marker is not None and marker.decode() == client.info("server")["run_id"]


async def test_it_publishes_what_was_enqueued_makes_the_salts_and_ends_well(postgres_dsn, redis_url, start):
    connection = await asyncpg.connect(postgres_dsn)
    worker = start(postgres_dsn, redis_url)
    with redis.Redis.from_url(redis_url) as client:
        eventually(lambda: complete(client))
        [qr_id] = await insert_codes(postgres_dsn, ["jobjob2"])
        await enqueue_publication(connection, qr_id)
        eventually(lambda: client.exists(route_key(DEFAULT_DOMAIN_ID, "jobjob2")) == 1)
    assert await connection.fetchval("SELECT count(*) FROM visitor_salts") == 2
    outcome = "SELECT last_outcome FROM scheduled_jobs WHERE name = 'delete_ended_access'"
    while await connection.fetchval(outcome) != "succeeded":  # noqa: ASYNC110 - it is done by another process
        await asyncio.sleep(0.05)
    await connection.close()
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(15) == 0


async def test_it_publishes_everything_and_again_after_a_flush(postgres_dsn, redis_url, start):
    codes = [f"code{number}" for number in range(1200)]
    await insert_codes(postgres_dsn, codes)
    start(postgres_dsn, redis_url)
    with redis.Redis.from_url(redis_url) as client:
        for _ in range(2):
            eventually(lambda: complete(client))
            assert client.exists(*(route_key(DEFAULT_DOMAIN_ID, code) for code in codes)) == len(codes)
            assert client.exists(DOMAINS_KEY) == 1
            client.flushall()


async def test_a_code_without_a_readable_row_is_left_to_postgres_and_its_job_kept_as_failed(
    postgres_dsn, redis_url, start
):
    start(postgres_dsn, redis_url)
    with redis.Redis.from_url(redis_url) as client:
        eventually(lambda: complete(client))
        [qr_id] = await insert_codes(postgres_dsn, ["broken2"], target_url=None)
        connection = await asyncpg.connect(postgres_dsn)
        await enqueue_publication(connection, qr_id)
        await connection.close()
        eventually(lambda: client.get(route_key(DEFAULT_DOMAIN_ID, "broken2")) == UNREADABLE)
        assert complete(client)


async def test_it_persists_counts_and_brings_them_back_after_a_flush(postgres_dsn, redis_url, clickhouse_url, start):
    [qr_id] = await insert_codes(postgres_dsn, ["limited"], max_scans=9)
    start(postgres_dsn, redis_url, clickhouse_url=clickhouse_url)
    counter = scans_key(qr_id.bytes)
    with redis.Redis.from_url(redis_url) as client:
        eventually(lambda: client.get(counter) == b"0")
        client.set(counter, 7)
        client.sadd(SCANS_DIRTY_KEY, qr_id.hex)
        eventually(lambda: not client.exists(SCANS_DIRTY_KEY, SCANS_PERSISTING_KEY))
        client.flushall()
        eventually(lambda: client.get(counter) == b"7")


async def test_a_code_that_is_given_a_limit_gets_a_counter(postgres_dsn, redis_url, start):
    [qr_id] = await insert_codes(postgres_dsn, ["limited"])
    start(postgres_dsn, redis_url)
    with redis.Redis.from_url(redis_url) as client:
        eventually(lambda: complete(client))
        assert not client.exists(scans_key(qr_id.bytes))
        connection = await asyncpg.connect(postgres_dsn)
        await connection.execute("UPDATE qr_codes SET max_scans = 5, version = 2 WHERE id = $1", qr_id)
        await enqueue_publication(connection, qr_id)
        await connection.close()
        eventually(lambda: client.get(scans_key(qr_id.bytes)) == b"0")


async def test_a_route_that_does_not_get_into_redis_withdraws_the_marker(postgres_dsn, start, tmp_path):
    with RedisServer(tmp_path / "redis") as server, redis.Redis.from_url(server.url) as client:
        start(postgres_dsn, server.url)
        eventually(lambda: complete(client))
        client.config_set("maxmemory", 1)
        [qr_id] = await insert_codes(postgres_dsn, ["nomemory"])
        connection = await asyncpg.connect(postgres_dsn)
        await enqueue_publication(connection, qr_id)
        await connection.close()
        eventually(lambda: not client.exists(ROUTES_COMPLETE_KEY))
        client.config_set("maxmemory", 0)
        eventually(lambda: complete(client))
        assert client.exists(route_key(DEFAULT_DOMAIN_ID, "nomemory")) == 1


async def test_a_redis_that_is_killed_is_waited_for_and_published_to(postgres_dsn, start, tmp_path):
    await insert_codes(postgres_dsn, ["menu"])
    with RedisServer(tmp_path / "redis") as server, redis.Redis.from_url(server.url) as client:
        worker = start(postgres_dsn, server.url)
        eventually(lambda: complete(client))
        server.kill()
        server.start()
        eventually(lambda: complete(client))
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(15) == 0


async def test_a_job_that_can_never_succeed_is_kept_as_failed_and_ends_nothing(postgres_dsn, redis_url, start):
    connection = await asyncpg.connect(postgres_dsn)
    await enqueue_publication(connection, new_id())
    await connection.execute("UPDATE pgqueuer SET payload = $1", b"no payload of ours")
    worker = start(postgres_dsn, redis_url)
    failed = "SELECT count(*) FROM pgqueuer WHERE status = 'failed'"
    for _ in range(200):
        if await connection.fetchval(failed) == 1:
            break
        assert worker.poll() is None
        await connection.execute("SELECT pg_sleep(0.05)")
    assert await connection.fetchval(failed) == 1
    await connection.close()


def test_a_database_that_is_not_migrated_is_waited_for(stack, redis_url, start):
    worker = start(stack.postgres_dsn, redis_url)
    assert worker.stderr is not None
    for line in worker.stderr:
        if b"worker_waits" in line:
            break
    assert worker.poll() is None
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(15) == 0


async def test_it_reconciles_when_told_to_and_logs_each_difference(postgres_dsn, redis_url, clickhouse_url, start):
    warehouse, code, long_ago = Warehouse(clickhouse_url), new_id(), datetime.now(UTC) - timedelta(hours=30)
    batch = warehouse.accept([Row(code, long_ago)], long_ago)
    warehouse.roll_up(code, 1, long_ago)
    warehouse.close()
    connection = await asyncpg.connect(postgres_dsn)
    for _ in range(2):
        await enqueue_reconcile(Queries(AsyncpgDriver(connection)))
    assert await connection.fetchval("SELECT count(*) FROM pgqueuer WHERE entrypoint = $1", RECONCILE) == 1
    await connection.close()
    worker = start(postgres_dsn, redis_url, clickhouse_url=clickhouse_url)
    found = await asyncio.to_thread(_next_line, worker, b"reconcile_difference")
    assert (found["level"], found["kind"]) == ("error", "doubled_in_rollup")
    assert str(batch) in found["difference"]


async def test_a_reconcile_without_clickhouse_waits_for_another_try(postgres_dsn, redis_url, start):
    connection = await asyncpg.connect(postgres_dsn)
    await enqueue_reconcile(Queries(AsyncpgDriver(connection)))
    worker = start(postgres_dsn, redis_url, clickhouse_url="http://127.0.0.1:1/none")
    await asyncio.to_thread(_next_line, worker, b"reconcile_hindered")
    worker.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(worker.wait, 15) == 0
    waits = "SELECT count(*) FROM pgqueuer WHERE entrypoint = $1 AND execute_after > now()"
    assert await connection.fetchval(waits, RECONCILE) == 1
    await connection.close()


def _next_line(worker: "subprocess.Popen[bytes]", event: bytes) -> dict[str, str]:
    assert worker.stderr is not None
    for line in worker.stderr:
        if b'"%s"' % event in line:
            return dict(orjson.loads(line))
    raise AssertionError(f"it ended without {event!r}")


async def test_a_scheduled_change_that_came_due_while_no_worker_ran_is_made_up_for(postgres_dsn, redis_url, start):
    connection = await asyncpg.connect(postgres_dsn)
    [qr_id] = await insert_codes(postgres_dsn, ["season2"])
    await connection.execute(
        "INSERT INTO qr_code_scheduled_changes (id, workspace_id, qr_id, at, change, created_by, created_at) "
        "SELECT gen_random_uuid(), workspace_id, id, now() - interval '1 hour', $1, 'key:k', now() FROM qr_codes",
        '{"target_url": "https://example.org/season"}',
    )
    workers = [start(postgres_dsn, redis_url) for _ in range(2)]
    with redis.Redis.from_url(redis_url) as client:
        eventually(lambda: b"example.org/season" in (client.get(route_key(DEFAULT_DOMAIN_ID, "season2")) or b""))
    row = await connection.fetchrow("SELECT status, version FROM qr_code_scheduled_changes")
    assert tuple(row) == ("applied", 2)
    assert await connection.fetchval("SELECT version FROM qr_codes WHERE id = $1", qr_id) == 2
    await connection.close()
    for worker in workers:
        await asyncio.to_thread(_next_line, worker, b"worker_started")
        worker.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(worker.wait, 15) == 0


async def test_it_publishes_many_codes_by_one_job(postgres_dsn, redis_url, start):
    connection = await asyncpg.connect(postgres_dsn)
    start(postgres_dsn, redis_url)
    with redis.Redis.from_url(redis_url) as client:
        eventually(lambda: complete(client))
        codes = [f"bulk{number}" for number in range(600)]
        await enqueue_publications(connection, await insert_codes(postgres_dsn, codes, max_scans=5))
        assert await connection.fetchval("SELECT count(*) FROM pgqueuer WHERE entrypoint LIKE 'publish%'") <= 2
        keys = [route_key(DEFAULT_DOMAIN_ID, code) for code in codes]
        eventually(lambda: client.exists(*keys) == len(codes))
    await connection.close()

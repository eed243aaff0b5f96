"""The worker as a process of its own."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator

import asyncpg
import pytest
import redis

from control_api.qr_codes.publication import enqueue_publication
from scanhop.wire.ids import DEFAULT_DOMAIN_ID
from scanhop.wire.redis_keys import route_key
from tests.product import eventually
from tests.routes import new_id

Start = Callable[[str, str], "subprocess.Popen[bytes]"]


@pytest.fixture
def start() -> Iterator[Start]:
    running: list[subprocess.Popen[bytes]] = []

    def start_worker(postgres_dsn: str, redis_url: str) -> "subprocess.Popen[bytes]":
        env = {**os.environ, "SCANHOP_POSTGRES_DSN": postgres_dsn, "SCANHOP_REDIS_URL": redis_url}
        running.append(subprocess.Popen([sys.executable, "-m", "scanhop", "worker"], env=env, stderr=subprocess.PIPE))
        return running[-1]

    yield start_worker
    for process in running:
        process.kill()
        process.communicate()


async def test_it_publishes_what_was_enqueued_makes_the_salts_and_ends_well(postgres_dsn, redis_url, start):
    connection = await asyncpg.connect(postgres_dsn)
    workspace, qr_id = new_id(), new_id()
    await connection.execute("INSERT INTO workspaces (id, name) VALUES ($1, 'w')", workspace)
    await connection.execute(
        "INSERT INTO qr_codes (id, workspace_id, domain_id, short_code, name, target_url) "
        "VALUES ($1, $2, $3, 'jobjob2', 'n', 'https://example.com/')",
        qr_id,
        workspace,
        DEFAULT_DOMAIN_ID,
    )
    await enqueue_publication(connection, qr_id)
    worker = start(postgres_dsn, redis_url)
    with redis.Redis.from_url(redis_url) as client:
        eventually(lambda: client.exists(route_key(DEFAULT_DOMAIN_ID, "jobjob2")) == 1)
    assert await connection.fetchval("SELECT count(*) FROM visitor_salts") == 2
    await connection.close()
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

"""An edit reaches Redis at once, and by a job that exists if and only if the edit does."""

import asyncio
from uuid import UUID

import pytest
from pgqueuer.domain.models import Job
from structlog.testing import capture_logs

from control_api.audit.trail import AuditTrail
from control_api.qr_codes.publication import (
    PUBLISH_ROUTE,
    enqueue_publication,
    parse_publication,
    publish_route,
)
from control_api.qr_codes.repository import QrCodeRepository
from control_api.qr_codes.versions import VersionWriter
from scanhop.stores.postgres import Postgres
from scanhop.stores.redis import open_redis
from scanhop.stores.routes import RouteCache, RouteTable
from scanhop.wire.ids import DEFAULT_DOMAIN_ID
from scanhop.wire.route import Status, decode_route
from tests.integration.control_api.api_client import TARGET, problem_of
from tests.routes import new_route

PATIENCE_S = 8  # of a client of the API

CALLS = "cmdstat_evalsha"


@pytest.fixture
async def cache(redis_url):
    redis = open_redis(redis_url, timeout_s=1)
    yield RouteCache(redis)
    await redis.aclose()


@pytest.fixture
async def postgres(postgres_dsn):
    opened = Postgres(postgres_dsn, max_connections=2, command_timeout_s=5)
    yield opened
    await opened.close()


async def cached(cache, code):
    [held] = (await cache.list_routes([(DEFAULT_DOMAIN_ID.bytes, code["short_code"])])).routes
    return None if held is None else decode_route(held)


async def jobs(database):
    rows = await database.fetch("SELECT * FROM pgqueuer ORDER BY id")
    return [Job.model_validate(dict(row)) for row in rows]


async def test_every_edit_is_in_redis_before_it_is_answered(api, cache):
    account = await api.create_account()
    code = await api.create_code(account)
    route = await cached(cache, code)
    assert (route.version, route.status, route.target_url) == (1, Status.ACTIVE, TARGET)
    assert str(UUID(bytes=route.qr_id)) == code["id"]
    assert str(UUID(bytes=route.workspace_id)) == account.workspace_id
    await api.change_code(account, code, target_url="https://example.org/")
    assert (await cached(cache, code)).target_url == "https://example.org/"
    await api.change_code(account, code, status="paused")
    assert (await cached(cache, code)).status is Status.PAUSED
    await api.client.delete(f"/v1/qr-codes/{code['id']}", headers=account.headers)
    tombstone = await cached(cache, code)
    assert (tombstone.version, tombstone.status) == (4, Status.DELETED)


async def test_every_edit_has_a_job_that_pgqueuer_can_read(api, database):
    account = await api.create_account()
    code = await api.create_code(account)
    await api.change_code(account, code, name="New")
    await api.client.delete(f"/v1/qr-codes/{code['id']}", headers=account.headers)
    queued = await jobs(database)
    assert [(job.entrypoint, str(parse_publication(job.payload))) for job in queued] == [
        (PUBLISH_ROUTE, code["id"])
    ] * 3


async def test_a_rollback_takes_the_job_with_it(postgres, database):
    async def enqueue_and_fail():
        async with postgres.transaction() as connection:
            await enqueue_publication(connection, UUID(int=1))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await enqueue_and_fail()
    assert await jobs(database) == []
    async with postgres.transaction() as connection:
        await enqueue_publication(connection, UUID(int=1))
    assert [parse_publication(job.payload) for job in await jobs(database)] == [UUID(int=1)]


@pytest.mark.parametrize("table", ["pgqueuer", "qr_code_history"])
async def test_an_edit_that_cannot_be_recorded_does_not_happen(api, database, cache, table):
    account = await api.create_account()
    code = await api.create_code(account)
    await database.execute(f"ALTER TABLE {table} RENAME TO elsewhere")
    with capture_logs():
        problem_of(await api.change_code(account, code, name="New"), 503, "store_unavailable")
    answer = await api.client.get(f"/v1/qr-codes/{code['id']}", headers=account.headers)
    assert answer.json() == code
    assert (await cached(cache, code)).version == 1


async def test_with_redis_away_the_edit_stands_and_the_job_publishes_it(open_api, database, postgres, cache):
    async with open_api(redis_url="redis://127.0.0.1:9") as api:
        account = await api.create_account()
        code = await api.create_code(account)
        answer = await api.change_code(account, code, target_url="https://example.org/")
        assert (answer.status_code, answer.json()["version"]) == (200, 2)
    assert await cached(cache, code) is None
    routes = RouteTable(postgres)
    published = [await publish_route(routes, cache, parse_publication(job.payload)) for job in await jobs(database)]
    assert published == [True, False]
    assert (await cached(cache, code)).target_url == "https://example.org/"


async def test_a_redis_that_hangs_delays_no_answer_until_its_client_gives_up(open_api):
    async def never_answer(reader, writer):
        await reader.read()
        writer.close()

    server = await asyncio.start_server(never_answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, open_api(redis_url=f"redis://127.0.0.1:{port}") as api:
        account = await api.create_account()
        async with asyncio.timeout(PATIENCE_S):
            await api.create_code(account)


async def test_publishing_a_code_that_is_gone_does_nothing(postgres, cache):
    assert await publish_route(RouteTable(postgres), cache, UUID(int=1)) is False


async def test_a_great_many_routes_do_not_hold_up_redis_in_one_go(postgres, redis_url):
    """As when a project of many codes is deleted: Redis answers edges between two parts."""
    redis = open_redis(redis_url, timeout_s=5)
    cache = RouteCache(redis)
    routes = [new_route(code=f"many-{number}") for number in range(2500)]
    await cache.put_if_newer(new_route(code="first"))  # the script is known from now on
    before = (await redis.info("commandstats"))[CALLS]["calls"]
    await VersionWriter(postgres, QrCodeRepository(), cache, AuditTrail()).publish(routes)
    assert (await redis.info("commandstats"))[CALLS]["calls"] - before == 3
    held = await cache.list_routes([(route.domain_id, route.code) for route in routes])
    assert None not in held.routes
    await redis.aclose()

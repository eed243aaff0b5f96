"""Exports and live scans over real connections: whole, or visibly broken off; nothing goes on for who has left."""

import asyncio
import socket
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from uuid import UUID, uuid4

import httpx
import orjson
import pytest
import uvicorn

from control_api.analytics import live as live_module
from control_api.analytics.question import Statement
from tests.integration.control_api.api_client import bad_names, problem_of

NOVEMBER = {"from": "2026-11-01", "to": "2026-12-01"}
PATIENCE_S = 30
SLOW = "SELECT 'left alone', sleepEachRow(0.001) FROM numbers(1000000) SETTINGS max_block_size = 10"


class Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self):
        yield


@pytest.fixture
async def api(open_api, clickhouse_url):
    async with open_api(clickhouse_url=clickhouse_url, max_listeners_each=2) as opened:
        yield opened


@pytest.fixture
async def client(api):
    """Of the same application, behind a socket."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = Server(uvicorn.Config(api.app, log_config=None, lifespan="off", timeout_graceful_shutdown=5))
    serving = asyncio.create_task(server.serve([listener]))
    base_url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    async with httpx.AsyncClient(base_url=base_url, timeout=PATIENCE_S) as connected:
        yield connected
    server.should_exit = True
    await serving
    listener.close()


def export(client, account, form):
    asked = {"select": ["rows"]} | NOVEMBER
    return client.stream("POST", f"/v1/query?format={form}", headers=account.headers, json=asked)


def exports_instead(monkeypatch, sql):
    monkeypatch.setattr("control_api.analytics.query_service.export_statement", lambda *_a, **_n: Statement(sql, {}))


async def exhaust(chunks):
    async for _ in chunks:
        pass


async def test_a_large_export_holds_every_scan_once(api, client, account, scans):
    await scans.run(
        f"""INSERT INTO qr_scan_events (workspace_id, qr_id, event_id, scanned_at, outcome, referer)
        SELECT '{account.workspace_id}', reinterpretAsUUID(toUInt128(number % 7)),
               reinterpretAsUUID(toUInt128(number)),
               fromUnixTimestamp64Milli(toInt64(1794000000000 + number * 1000), 'UTC'), 'redirect', repeat('x', 50)
        FROM numbers(100000)"""
    )
    ids = []
    async with export(client, account, "ndjson") as answer:
        assert answer.status_code == 200
        async for line in answer.aiter_lines():
            ids.append(orjson.loads(line)["event_id"])
            if len(ids) == 1000:
                await scans.add(account, None, "2026-11-20T00:00:00Z")
    assert len(ids) == len(set(ids)) == 100_000


async def test_a_failure_in_mid_export_breaks_the_connection(client, account, monkeypatch):
    exports_instead(monkeypatch, "SELECT throwIf(number = 1000000), repeat('x', 20) FROM numbers(2000000)")
    async with export(client, account, "csv") as answer:
        assert answer.status_code == 200
        chunks = answer.aiter_bytes()
        assert await anext(chunks)
        with pytest.raises(httpx.RemoteProtocolError):
            await exhaust(chunks)


async def test_head_opens_no_stream(client, account):
    """Neither are there too many at the third, nor does the connection wait for an end that never comes."""
    client.timeout = 5
    for _ in range(3):
        answer = await client.head("/v1/analytics/live", headers=account.headers)
        assert (answer.status_code, answer.content) == (200, b"")
        assert answer.headers["content-type"].startswith("text/event-stream")


async def is_running(scans):
    return any("left alone" in query for (query,) in await scans.run("SELECT query FROM system.processes"))


async def test_a_client_that_leaves_ends_its_statement(client, account, scans, monkeypatch):
    exports_instead(monkeypatch, SLOW)
    async with export(client, account, "csv") as answer:
        chunks = answer.aiter_bytes()
        assert await anext(chunks)
        assert await is_running(scans)
    async with asyncio.timeout(PATIENCE_S):
        while await is_running(scans):  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.05)


async def test_a_workspace_has_so_many_exports_at_once(client, account, monkeypatch):
    exports_instead(
        monkeypatch, "SELECT number, sleepEachRow(0.001) FROM numbers(1000000) SETTINGS max_block_size = 10"
    )
    async with export(client, account, "csv") as one, export(client, account, "csv") as other:
        assert (one.status_code, other.status_code) == (200, 200)
        async with export(client, account, "csv") as third:
            await third.aread()
            assert int(third.headers["retry-after"]) > 0
            problem_of(third, 429, "too_many_streams")


@asynccontextmanager
async def listening(client, account, last_event_id=None, **query):
    """Gives a function that waits for the next event: (its id, the scan)."""
    headers = account.headers | ({"Last-Event-ID": last_event_id} if last_event_id else {})
    async with client.stream("GET", "/v1/analytics/live", headers=headers, params=query) as answer:
        assert answer.status_code == 200
        lines = answer.aiter_lines()
        while "heartbeat" not in await anext(lines):
            pass

        async def following():
            event_id = None
            async with asyncio.timeout(PATIENCE_S):
                async for line in lines:
                    name, _, value = line.partition(": ")
                    event_id = value if name == "id" else event_id
                    if name == "data":
                        return event_id, orjson.loads(value)
            raise EOFError

        yield following


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(live_module, "POLL_S", 0.05)


async def test_new_scans_are_heard_of_by_their_workspace_only(api, client, account, code, scans, quick):
    stranger = await api.create_account()
    await scans.add(account, code, datetime.now(UTC))
    async with listening(client, account) as following, listening(client, stranger) as strange:
        [first] = await scans.add(account, code, datetime.now(UTC), country="DE")
        await scans.add(account, code, datetime.now(UTC), is_bot=True)
        [theirs] = await scans.add(stranger, None, datetime.now(UTC))
        [second] = await scans.add(account, code, datetime.now(UTC))
        heard = [await following(), await following()]
        assert [scan["event_id"] for _, scan in heard] == [str(first), str(second)]
        assert (heard[0][1]["country"], heard[0][1]["qr_id"]) == ("DE", code["id"])
        assert heard[0][1]["scanned_at"].endswith("Z")
        assert "workspace_id" not in heard[0][1]
        _, scan = await strange()
        assert (scan["event_id"], scan["qr_id"], scan["project_id"]) == (str(theirs), None, None)


async def test_a_crowd_in_one_workspace_takes_nothing_from_another(api, client, account, scans, quick, monkeypatch):
    """Who has more than is shown is told so, and nobody else is."""
    monkeypatch.setattr(live_module, "MAX_POLLED", 3)
    quiet = await api.create_account()
    async with listening(client, account) as busy, listening(client, quiet) as calm:
        batch = uuid4()
        await scans.run(
            f"""INSERT INTO qr_scan_events
                (workspace_id, qr_id, batch_id, event_id, scanned_at, received_at, outcome)
            SELECT if(number < 5, '{account.workspace_id}', '{quiet.workspace_id}')::UUID,
                   toUUID('{UUID(int=0)}'), toUUID('{batch}'), generateUUIDv4(), now64(3, 'UTC'),
                   now64(3, 'UTC') + number / 1000, 'redirect'
            FROM numbers(7)"""
        )
        assert [len((await busy())[1]) for _ in range(4)][-1] == 0
        assert all([(await calm())[1] for _ in range(2)])
        [later] = await scans.add(quiet, None, datetime.now(UTC))
        assert (await calm())[1].get("event_id") == str(later)


async def test_whoever_comes_back_hears_what_was_missed_once(client, account, code, scans, quick):
    async with listening(client, account) as following:
        await scans.add(account, code, datetime.now(UTC))
        last, _ = await following()
    missed = await scans.add(account, code, datetime.now(UTC), datetime.now(UTC))
    async with listening(client, account, last) as following:
        [new] = await scans.add(account, code, datetime.now(UTC))
        heard = [(await following())[1]["event_id"] for _ in range(3)]
    assert sorted(heard[:2]) == sorted(map(str, missed))
    assert heard[2] == str(new)


async def test_listeners_are_bounded_and_end_when_the_process_drains(api, client, account):
    async with listening(client, account) as one, listening(client, account):
        problem_of(await client.get("/v1/analytics/live", headers=account.headers), 429, "too_many_streams")
        api.app.state.live.close()
        with pytest.raises(EOFError):
            await one()
    async with asyncio.timeout(PATIENCE_S):
        while True:
            answer = await client.get("/v1/analytics/live", headers=account.headers)
            if answer.status_code == 200:
                break


async def test_an_id_that_was_never_sent_is_refused(api, account):
    for text in (
        "1",
        "x-00000000-0000-0000-0000-000000000000",
        "99999999999999-00000000-0000-0000-0000-00000000000g",
    ):
        headers = account.headers | {"Last-Event-ID": text}
        assert bad_names(await api.client.get("/v1/analytics/live", headers=headers)) == {"last-event-id"}


async def test_without_clickhouse_nobody_listens(open_api):
    async with open_api() as api:
        account = await api.create_account()
        answer = await api.client.get("/v1/analytics/live", headers=account.headers)
        problem_of(answer, 503, "store_unavailable")

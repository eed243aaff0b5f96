"""What was asked of the API: a row each, in batches, without keeping anybody waiting."""

import asyncio
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import httpx
import pytest
from structlog.testing import capture_logs

from control_api.clock import utc_now
from control_api.request_log import writer
from control_api.request_log.writer import RequestLog
from control_api.web.request_frame import FinishedRequest
from control_api.web.request_metrics import RequestMetrics
from scanhop.stores.errors import StoreRejected, StoreUnavailable
from tests.databases import with_path
from tests.integration.control_api.api_client import ADMIN, bad_names, problem_of
from tests.integration.control_api.people import register


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(writer, "EVERY_S", 0.02)


async def list_logs(api, headers, path="/v1/logs", *, least=0, **query):
    """Asked again until there are as many as there must be in the end."""
    for _ in range(200):
        answer = await api.client.get(path, headers=headers, params=query)
        assert answer.status_code == 200, answer.text
        if len(answer.json()["data"]) >= least:
            break
        await asyncio.sleep(0.02)
    return [row for row in answer.json()["data"] if not row["route"].endswith("logs")]


async def test_requests_are_listed_newest_first_with_filters_and_pages(open_api, clickhouse_url, quick):
    async with open_api(clickhouse_url=clickhouse_url) as api:
        account, other = await api.create_account(), await api.create_account()
        await api.client.get("/v1/qr-codes?limit=7", headers=account.headers | {"X-Request-Id": "first"})
        code = await api.create_code(account, name="A secret name")
        await api.client.get(f"/v1/qr-codes/{code['id']}", headers=account.headers)
        await api.client.get("/v1/qr-codes?limit=0", headers=account.headers)
        await api.client.get("/v1/public/health")
        rows = await list_logs(api, account.headers, least=4)
        assert [(row["method"], row["route"], row["status"]) for row in rows] == [
            ("GET", "/v1/qr-codes", 422),
            ("GET", "/v1/qr-codes/{qr_id}", 200),
            ("POST", "/v1/qr-codes", 201),
            ("GET", "/v1/qr-codes", 200),
        ]
        assert rows[3]["request_id"] == "first"
        assert {row["key_id"] for row in rows} == {account.key.split("_")[1]}
        assert {row["user_id"] for row in rows} == {account.user_id}
        assert all(0 < row["duration_ms"] < 60_000 and row["sent_bytes"] > 0 for row in rows)
        assert await list_logs(api, account.headers, status="4xx") == rows[:1]
        assert await list_logs(api, account.headers, method="POST") == rows[2:3]
        assert await list_logs(api, account.headers, route="/v1/qr-codes/{qr_id}") == rows[1:2]
        assert await list_logs(api, account.headers, key_id="another") == []
        assert await list_logs(api, account.headers, **{"from": rows[1]["time"], "to": rows[0]["time"]}) == rows[1:2]
        query = {"limit": 2, "to": rows[0]["time"]}
        page = (await api.client.get("/v1/logs", headers=account.headers, params=query)).json()
        assert page["data"] == rows[1:3]
        query["cursor"] = page["next_cursor"]
        page = (await api.client.get("/v1/logs", headers=account.headers, params=query)).json()
        assert page == {"data": rows[3:], "next_cursor": None}
        assert await list_logs(api, other.headers) == []
        everybody = await list_logs(api, ADMIN, "/v1/admin/logs", least=6)
        assert [row for row in everybody if row["workspace_id"] == account.workspace_id] == rows
        assert [row["workspace_id"] for row in everybody if row["route"] == "/v1/admin/users"] == [None, None]
        assert await list_logs(api, ADMIN, f"/v1/admin/users/{account.user_id}/logs") == rows
        problem_of(await api.client.get("/v1/admin/logs", headers=account.headers), 403, "admin_key_needed")
        assert await list_logs(api, account.headers, status="422") == rows[:1]
        assert await list_logs(api, account.headers, status="423") == []
        day = {"from": rows[0]["time"][:10], "to": "2199-01-01"}
        assert await list_logs(api, account.headers, **day) == rows
        for wrong in ("40x", "4XX", "1xx", "600", "", "4042"):
            refused = await api.client.get("/v1/logs", headers=account.headers, params={"status": wrong})
            assert bad_names(refused) == {"status"}
        metrics = (await api.client.get("/v1/public/metrics")).text
        assert 'scanhop_api_request_log_rows_total{outcome="written"}' in metrics


async def test_what_waits_is_written_at_the_end_and_holds_nothing_it_should_not(open_api, clickhouse_url):
    async with open_api(clickhouse_url=clickhouse_url) as api:
        account = await api.create_account()
        await api.create_code(account, name="A secret name")
        await api.client.get("/v1/qr-codes?limit=77", headers=account.headers)
        await api.client.get("/some/secret/path")
    answer = await ask_clickhouse(clickhouse_url, "SELECT * FROM api_requests FORMAT JSONEachRow")
    assert answer.count("\n") == 4
    for word in ("secret", "limit=77", "127.0.0.1", account.key):
        assert word not in answer


async def test_a_head_is_logged_as_one_of_no_length(open_api, clickhouse_url, quick):
    async with open_api(clickhouse_url=clickhouse_url) as api:
        account = await api.create_account()
        with capture_logs() as lines:
            assert (await api.client.head("/v1/qr-codes", headers=account.headers)).status_code == 200
        told = [(line["method"], line["route"], line["status"]) for line in lines if line["event"] == "request"]
        assert told == [("HEAD", "/v1/qr-codes", 200)]
        [row] = await list_logs(api, account.headers, least=1)
        assert (row["method"], row["route"], row["sent_bytes"]) == ("HEAD", "/v1/qr-codes", 0)
        assert await list_logs(api, account.headers, method="HEAD") == [row]
        assert (
            'requests_total{method="HEAD",route="/v1/qr-codes",status="200"} 1.0'
            in (await api.client.get("/v1/public/metrics")).text
        )


async def test_requests_of_a_signed_in_platform_admin_are_theirs(open_api, database, clickhouse_url, quick):
    async with open_api(clickhouse_url=clickhouse_url) as api:
        person = await register(api, "ada@example.com")
        await database.execute("UPDATE users SET role = 'admin'")
        for path in ("/v1/admin/users", "/v1/qr-codes"):
            assert (await api.client.get(path, headers=person.headers)).status_code == 200
        rows = await list_logs(api, person.headers, f"/v1/admin/users/{person.user_id}/logs", least=2)
        assert {(row["route"], row["workspace_id"]) for row in rows} == {
            ("/v1/admin/users", person.workspace_id),
            ("/v1/qr-codes", person.workspace_id),
        }
    answer = await ask_clickhouse(clickhouse_url, "SELECT DISTINCT route FROM api_requests WHERE is_admin FORMAT TSV")
    assert set(answer.split()) == {"/v1/admin/users", "/v1/admin/users/{user_id}/logs"}


async def test_the_log_is_503_without_clickhouse_and_nothing_else_is(api, account):
    problem_of(await api.client.get("/v1/logs", headers=account.headers), 503, "store_unavailable")
    assert (await api.client.get("/v1/qr-codes", headers=account.headers)).status_code == 200


def finished(number=0):
    return FinishedRequest(f"r{number}", None, "GET", "/v1/qr-codes", 200, 0.001, 10)


class Table:
    """What a table would have taken."""

    def __init__(self, failures=()):
        self.failures = list(failures)
        self.tries = []

    async def insert(self, requests, token):
        self.tries.append((token, [request.request_id for request in requests]))
        if self.failures:
            raise self.failures.pop(0)


def outcomes(metrics):
    found = {}
    for family in metrics.registry.collect():
        for sample in family.samples:
            if sample.name == "scanhop_api_request_log_rows_total":
                found[sample.labels["outcome"]] = sample.value
    return found


async def write(table, count=3):
    metrics = RequestMetrics()
    log = RequestLog(table, metrics, utc_now)
    running = asyncio.create_task(log.run())
    for number in range(count):
        log.record(finished(number))
    for _ in range(100):
        await asyncio.sleep(0.01)
        if outcomes(metrics):
            break
    await log.close()
    await running
    return outcomes(metrics)


async def test_a_batch_that_failed_is_sent_again_as_it_was(quick):
    table = Table([StoreUnavailable("away"), StoreUnavailable("away")])
    assert await write(table) == {"written": 3}
    assert len(table.tries) == 3
    assert table.tries[0] == table.tries[1] == table.tries[2]
    assert table.tries[0][1] == ["r0", "r1", "r2"]


async def test_what_clickhouse_refuses_is_dropped_and_counted(quick):
    table = Table([StoreRejected("no")])
    assert await write(table) == {"refused": 3}
    assert len(table.tries) == 1


async def test_what_does_not_fit_and_what_is_left_at_the_end_is_counted(monkeypatch):
    monkeypatch.setattr(writer, "MAX_WAITING", 2)
    metrics = RequestMetrics()
    log = RequestLog(Table([StoreUnavailable("away")]), metrics, utc_now)
    for number in range(5):
        log.record(finished(number))
    await log.close()
    await log.run()
    assert outcomes(metrics) == {"buffer_full": 3, "shutdown": 2}


async def test_old_rows_go(clickhouse_url):
    for days in (91, 1):
        at = (datetime.now(UTC) - timedelta(days=days)).strftime("%Y-%m-%d %H:%M:%S")
        await ask_clickhouse(clickhouse_url, f"INSERT INTO api_requests (time, route) VALUES ('{at}', '{days}')")
    await ask_clickhouse(clickhouse_url, "OPTIMIZE TABLE api_requests FINAL")
    assert await ask_clickhouse(clickhouse_url, "SELECT route FROM api_requests FORMAT TSV") == "1\n"


async def ask_clickhouse(url, statement):
    async with httpx.AsyncClient() as client:
        database = {"database": urlsplit(url).path.strip("/")}
        answer = await client.post(with_path(url, ""), params=database, content=statement)
    answer.raise_for_status()
    return answer.text

"""Health and metrics: 200 whatever the stores do, and soon."""

import asyncio

import pytest

from tests.integration.control_api.api_client import problem_of
from tests.silent_proxy import SilentProxy

PATIENCE_S = 8  # of a client of the API


@pytest.mark.parametrize("path", ["/", "/v1/public/health"])
async def test_with_every_store_up_it_is_ok(open_api, clickhouse_url, path):
    async with open_api(clickhouse_url=clickhouse_url) as api:
        answer = await api.client.get(path)
    assert answer.status_code == 200
    body = answer.json()
    assert body["status"] == "ok"
    assert list(body["stores"]) == ["postgres", "redis", "clickhouse"]
    assert all(store["status"] == "ok" and store["latency_ms"] > 0 for store in body["stores"].values())
    assert body["version"] == "0.1.0"


async def test_with_stores_away_it_is_degraded_and_says_which(open_api):
    async with open_api(redis_url="redis://127.0.0.1:9") as api:
        body = (await api.client.get("/v1/public/health")).json()
    assert body["status"] == "degraded"
    assert body["stores"]["postgres"]["status"] == "ok"
    assert body["stores"]["redis"] == body["stores"]["clickhouse"] == {"status": "down", "latency_ms": None}


async def test_stores_that_hang_are_waited_for_together_and_not_long(open_api):
    waiting, most_waiting = 0, 0

    async def never_answer(reader, writer):
        nonlocal waiting, most_waiting
        waiting += 1
        most_waiting = max(most_waiting, waiting)
        await reader.read()
        waiting -= 1
        writer.close()

    server = await asyncio.start_server(never_answer, "127.0.0.1", 0)
    address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    hanging = {
        "postgres_dsn": f"postgresql://user@{address}/none?sslmode=disable",
        "redis_url": f"redis://{address}",
        "clickhouse_url": f"http://{address}/",
    }
    async with server, open_api(**hanging) as api:
        async with asyncio.timeout(PATIENCE_S):
            body = (await api.client.get("/v1/public/health")).json()
    assert most_waiting >= len(hanging)
    assert {store["status"] for store in body["stores"].values()} == {"down"}


async def test_postgres_that_is_silent_is_answered_by_503_before_a_client_gives_up(open_api, postgres_dsn):
    """For whom a connection is there already, and for whom one must be made."""
    async with SilentProxy(postgres_dsn) as proxy, open_api(postgres_dsn=proxy.url) as api:
        account = await api.create_account()
        proxy.fall_silent()
        for _ in range(2):
            async with asyncio.timeout(PATIENCE_S):
                answer = await api.client.get("/v1/qr-codes", headers=account.headers)
            problem_of(answer, 503, "store_unavailable")
        proxy.speak()
        assert (await api.client.get("/v1/qr-codes", headers=account.headers)).status_code == 200


async def test_metrics_count_requests_by_template(api):
    account = await api.create_account()
    code = await api.create_code(account)
    await api.client.get(f"/v1/qr-codes/{code['id']}", headers=account.headers)
    await api.client.get("/nowhere")
    answer = await api.client.get("/v1/public/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    lines = answer.text.splitlines()
    assert 'scanhop_api_requests_total{method="POST",route="/v1/qr-codes",status="201"} 1.0' in lines
    assert 'scanhop_api_requests_total{method="GET",route="/v1/qr-codes/{qr_id}",status="200"} 1.0' in lines
    assert 'scanhop_api_requests_total{method="GET",route="unmatched",status="404"} 1.0' in lines
    assert 'scanhop_api_request_duration_seconds_count{method="POST",route="/v1/qr-codes"} 1.0' in lines
    assert any(line.startswith("process_cpu_seconds_total") for line in lines)
    assert code["id"] not in answer.text


async def test_two_applications_count_apart(open_api):
    async with open_api() as one, open_api() as two:
        await one.client.get("/nowhere")
        assert "/nowhere" not in (await two.client.get("/v1/public/metrics")).text
        assert 'status="404"' not in (await two.client.get("/v1/public/metrics")).text


async def test_head_answers_as_get_does_without_the_body(api):
    for path in ("/", "/v1/public/health", "/v1/qr-codes"):
        got, asked = await api.client.get(path), await api.client.head(path)
        assert asked.status_code == got.status_code
        assert asked.headers["content-type"] == got.headers["content-type"]
        assert asked.content == b""

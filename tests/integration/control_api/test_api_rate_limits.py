"""How often callers may ask; with Redis, without it, and while it hangs."""

import asyncio
import ipaddress
import re

from redis.asyncio.connection import AbstractConnection

from control_api.rate_limits.local_buckets import LocalBuckets
from control_api.rate_limits.model import SECOND_US, Limit, decide
from control_api.rate_limits.service import RateLimits
from control_api.rate_limits.shared_buckets import SharedBuckets
from control_api.web.request_metrics import RequestMetrics
from scanhop.stores.redis import open_redis
from tests.integration.control_api.api_client import ADMIN, problem_of
from tests.silent_proxy import SilentProxy

SLOW = {"rate_per_second": 1, "rate_burst": 8}
STATE = re.compile(r'"(\w+)";r=(\d+);t=(\d+)')
LIST = "/v1/qr-codes"
NETWORKS = (ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("127.0.0.0/8"))


async def ask(api, account, count):
    return [await api.client.get(LIST, headers=account.headers) for _ in range(count)]


async def test_a_key_has_its_burst_then_429_with_a_time_to_wait(open_api):
    async with open_api(**SLOW) as api:
        account, other = await api.create_account(), await api.create_account()
        answers = await ask(api, account, 9)
        assert [answer.status_code for answer in answers] == [200] * 8 + [429]
        for number, answer in enumerate(answers[:8]):
            assert answer.headers["ratelimit-policy"] == '"default";q=8;w=8'
            name, remaining, full = STATE.fullmatch(answer.headers["ratelimit"]).groups()
            assert (name, int(remaining)) == ("default", 7 - number)
            assert int(full) <= number + 1
            assert "retry-after" not in answer.headers
        problem_of(answers[8], 429, "rate_limited")
        assert answers[8].headers["retry-after"] == "1"
        assert STATE.fullmatch(answers[8].headers["ratelimit"])[2] == "0"
        [answer] = await ask(api, other, 1)
        assert answer.headers["ratelimit"].startswith('"default";r=7;')


async def test_refusals_are_charged_and_carry_the_header_too(open_api):
    async with open_api(**SLOW) as api:
        account = await api.create_account()
        answers = [await api.client.get("/v1/admin/users", headers=account.headers) for _ in range(9)]
        assert [answer.status_code for answer in answers] == [403] * 8 + [429]
        assert all("ratelimit" in answer.headers for answer in answers)


async def test_the_platform_admin_health_and_metrics_are_not_limited(open_api):
    async with open_api(rate_per_second=1, rate_burst=1) as api:
        for path, headers in (("/v1/admin/users", ADMIN), ("/v1/public/health", {}), ("/v1/public/metrics", {})):
            for _ in range(3):
                answer = await api.client.get(path, headers=headers)
                assert answer.status_code == 200
                assert "ratelimit" not in answer.headers


async def test_without_a_credential_the_network_of_the_client_counts(open_api):
    async with open_api(trusted_proxies=NETWORKS, rate_per_second=1, rate_burst=2) as api:

        async def verify(address):
            headers = {"X-Forwarded-For": address}
            return await api.client.post("/v1/public/verify-key", headers=headers, json={"key": "none"})

        for address, same in (("192.0.2.1", "192.0.2.1"), ("2001:db8::1", "2001:db8::2:3:4:5")):
            assert (await verify(address)).headers["ratelimit-policy"] == '"network";q=2;w=2'
            assert (await verify(same)).status_code == 200
            problem_of(await verify(address), 429, "rate_limited")
        assert (await verify("192.0.2.2")).status_code == 200
        assert (await verify("2001:db8:0:1::1")).status_code == 200
        headers = {"X-Forwarded-For": "192.0.2.7", "X-API-Key": "no key at all"}
        answers = [await api.client.get(LIST, headers=headers) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [401, 401, 429]


async def test_redis_decides_as_the_model_does(redis_url):
    """The same requests at the same times; the script's clock is Redis' own, so the model is told it afterwards."""
    client = open_redis(redis_url, timeout_s=1)
    buckets, limit, full_at = SharedBuckets(client), Limit("default", 1, 8), 0
    try:
        for number in range(40):
            verdict = await buckets.charge("one", limit)
            stored = int(await client.get("rate:one"))
            now_us = stored - verdict.full_us
            expected, full_at = decide(limit, full_at, now_us)
            assert verdict == expected
            assert full_at == stored
            if number % 10 == 9:  # as if three seconds had gone by
                full_at = stored - 3 * SECOND_US
                await client.set("rate:one", full_at, px=60_000)
        await buckets.charge("two", limit)
        assert 0 < await client.pttl("rate:two") <= 1_000
        await client.script_flush()
        await buckets.charge("one", limit)
    finally:
        await client.aclose()


async def test_without_redis_each_process_is_stricter(open_api):
    async with open_api(redis_url="redis://127.0.0.1:9", **SLOW) as api:
        account = await api.create_account()
        answers = await ask(api, account, 3)
        assert [answer.status_code for answer in answers] == [200, 200, 429]
        assert answers[0].headers["ratelimit-policy"] == '"default";q=2;w=2'
        metrics = (await api.client.get("/v1/public/metrics")).text
    assert 'checks_total{counted_in="process",outcome="refused",policy="default"} 1.0' in metrics


async def test_while_redis_hangs_one_request_a_second_waits_for_it_and_no_other(redis_url):
    now_s = 0.0
    limit = Limit("default", 1_000, 1_000)
    async with SilentProxy(redis_url) as proxy:
        client = open_redis(proxy.url, timeout_s=0.05)
        shared = CountedBuckets(SharedBuckets(client))
        limits = RateLimits(shared, LocalBuckets(), RequestMetrics(), limit, lambda: now_s)
        await limits.charge_network("a")
        proxy.fall_silent()
        await limits.charge_network("a")
        assert shared.calls == 2
        verdicts = [await limits.charge_network("a") for _ in range(50)]
        assert shared.calls == 2
        assert {verdict.limit.burst for verdict in verdicts} == {250}
        now_s = 1.5
        await asyncio.gather(*(limits.charge_network("a") for _ in range(50)))
        assert shared.calls == 3
        proxy.speak()
        now_s = 3.0
        assert (await limits.charge_network("a")).limit.burst == 1_000
        await client.aclose()


class CountedBuckets:
    def __init__(self, buckets):
        self._buckets = buckets
        self.calls = 0

    async def charge(self, bucket, limit):
        self.calls += 1
        return await self._buckets.charge(bucket, limit)


async def test_one_round_trip_for_each_request(open_api, monkeypatch):
    sent = []
    send = AbstractConnection.send_packed_command

    async def counted(connection, command, *args, **kwargs):
        sent.append(command)
        return await send(connection, command, *args, **kwargs)

    async with open_api() as api:
        account = await api.create_account()
        await ask(api, account, 1)
        monkeypatch.setattr(AbstractConnection, "send_packed_command", counted)
        await ask(api, account, 5)
        assert len(sent) == 5, sent
        assert all("EVALSHA" in str(each) for each in sent)

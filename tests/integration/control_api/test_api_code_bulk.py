"""Codes in bulk: each item has its own result, and a thousand cost no more statements than one."""

import orjson
import pytest

from control_api.qr_codes.publication import PUBLISH_ROUTES, parse_publications
from scanhop.stores.redis import open_redis
from scanhop.stores.routes import RouteCache
from scanhop.wire.ids import DEFAULT_DOMAIN_ID
from scanhop.wire.route import decode_route
from tests.integration.control_api.api_client import TARGET, bad_names, problem_of
from tests.integration.control_api.statement_count import counted_statements

URL = "/v1/qr-codes/bulk"


@pytest.fixture
async def cached(redis_url):
    redis = open_redis(redis_url, timeout_s=1)
    cache = RouteCache(redis)

    async def find(codes):
        held = (await cache.list_routes([(DEFAULT_DOMAIN_ID.bytes, code["short_code"]) for code in codes])).routes
        return [None if each is None else decode_route(each) for each in held]

    yield find
    await redis.aclose()


async def create(api, account, items):
    answer = await api.client.post(URL, headers=account.headers, json={"items": items})
    assert answer.status_code == 200, answer.text
    return answer.json()


async def change(api, account, items):
    answer = await api.client.patch(URL, headers=account.headers, json={"items": items})
    assert answer.status_code == 200, answer.text
    return answer.json()


def item(**fields):
    return {"name": "Menu", "target_url": TARGET} | fields


def results(body):
    return [(each["status"], each["problem"] and each["problem"]["code"]) for each in body["data"]]


async def test_what_is_good_is_created_and_what_is_bad_is_told_why(api, account, cached):
    await api.create_code(account, short_code="taken")
    body = await create(
        api,
        account,
        [
            item(short_code="one"),
            item(short_code="taken"),
            item(target_url="https://qr.example/r/x"),
            {"name": "no target"},
            "no object",
            item(short_code="One"),
            item(domain="nobodys.example"),
            item(project_id=account.user_id),
            item(password="open sesame"),
            item(starts_at="2026-02-01T00:00:00Z", expires_at="2026-01-01T00:00:00Z"),
        ],
    )
    invalid = (422, "invalid_parameters")
    assert results(body) == [
        (201, None),
        (409, "short_code_taken"),
        invalid,
        invalid,
        invalid,
        (409, "short_code_taken"),
        invalid,
        invalid,
        (201, None),
        invalid,
    ]
    assert (body["succeeded"], body["failed"]) == (2, 8)
    named = [{each["name"] for each in (r["problem"] or {}).get("invalid_parameters") or []} for r in body["data"]]
    assert named[2:5] == [{"target_url"}, {"target_url"}, {"item"}]
    assert named[6:8] == [{"domain"}, {"project_id"}]
    codes = [each["qr_code"] for each in body["data"] if each["qr_code"]]
    assert codes[1]["has_password"]
    assert [route.version for route in await cached(codes)] == [1, 1]
    one = await api.client.get(f"/v1/qr-codes/{codes[0]['id']}", headers=account.headers)
    assert one.json() == codes[0]


async def test_changes_are_each_made_or_refused(api, account, cached):
    stranger = await api.create_account()
    theirs = await api.create_code(stranger)
    a, b, c = [await api.create_code(account) for _ in range(3)]
    body = await change(
        api,
        account,
        [
            {"id": a["id"], "target_url": "https://example.org/", "version": 1, "reason": "moved"},
            {"id": b["id"], "name": "B", "version": 7},
            {"id": theirs["id"], "name": "Mine"},
            {"id": a["id"], "name": "twice"},
            {"id": c["id"]},
            {"id": c["id"], "name": "Menu"},
            {"name": "no id"},
        ],
    )
    assert results(body) == [
        (200, None),
        (412, "stale_version"),
        (404, "not_found"),
        (422, "invalid_parameters"),
        (422, "invalid_parameters"),
        (200, None),
        (422, "invalid_parameters"),
    ]
    assert body["data"][0]["qr_code"]["version"] == 2
    assert body["data"][5]["qr_code"] == c
    [route] = await cached([a])
    assert (route.version, route.target_url) == (2, "https://example.org/")


async def test_a_reason_that_cannot_be_kept_is_its_item_s_own(api, account, code):
    other = await api.create_code(account)
    body = await change(
        api,
        account,
        [{"id": code["id"], "name": "A", "reason": "a\0b"}, {"id": other["id"], "name": "B", "reason": " spring "}],
    )
    assert results(body) == [(422, "invalid_parameters"), (200, None)]
    [listed] = (await api.client.get(f"/v1/qr-codes/{other['id']}/history?limit=1", headers=account.headers)).json()[
        "data"
    ]
    assert listed["reason"] == "spring"


async def test_the_document_says_what_an_item_holds(api):
    schemas = (await api.client.get("/openapi.json")).json()["components"]["schemas"]
    made, changed = (
        schemas[each]["properties"]["items"]["items"]["$ref"].rpartition("/")[2]
        for each in ("QrCodesWanted", "QrCodeChanges")
    )
    assert made == "QrCodeWanted"
    assert {"id", "version", "reason", "name"} <= schemas[changed]["properties"].keys()
    assert schemas[changed]["required"] == ["id"]


async def test_a_thousand_codes_cost_as_many_statements_as_one(api, account, database, cached):
    items = [item(name=f"Code {number}", tags=["t"]) for number in range(1000)]
    await api.client.get("/v1/tags", headers=account.headers)  # what notes the use of the key
    with counted_statements() as sent:
        body = await create(api, account, items)
    assert body["succeeded"] == 1000
    assert len(sent) <= 7, sent  # the key, the price (once a second), hosts of targets, rows, history, audit, jobs
    codes = [each["qr_code"] for each in body["data"]]
    assert [code["name"] for code in codes] == [each["name"] for each in items]
    assert all(route.version == 1 for route in await cached(codes))
    with counted_statements() as sent:
        body = await change(api, account, [{"id": code["id"], "name": "New"} for code in codes])
    assert body["succeeded"] == 1000
    assert len(sent) <= 6, sent
    jobs = await database.fetch("SELECT entrypoint, payload FROM pgqueuer ORDER BY id")
    assert {job["entrypoint"] for job in jobs} == {PUBLISH_ROUTES}
    published = [str(qr_id) for job in jobs for qr_id in parse_publications(job["payload"])]
    assert sorted(published) == sorted([code["id"] for code in codes] * 2)
    assert await database.fetchval("SELECT count(*) FROM audit_log WHERE action LIKE 'qr_code.%'") == 2000
    assert await database.fetchval("SELECT count(*) FROM qr_code_history") == 2000


async def test_single_requests_send_few_statements(api, account, code):
    url = f"/v1/qr-codes/{code['id']}"
    with counted_statements() as sent:
        await api.client.get(url, headers=account.headers)
    assert len(sent) == 2, sent  # the key, the code
    with counted_statements() as sent:
        await api.create_code(account)
    assert len(sent) == 6, sent
    with counted_statements() as sent:
        await api.change_code(account, code, name="Other")
    assert len(sent) == 6, sent
    with counted_statements() as sent:
        await api.client.get("/v1/qr-codes?search=x&tags=a&sort=name", headers=account.headers)
    assert len(sent) == 2, sent


async def test_lists_that_are_empty_too_long_or_none_are_refused(api, account):
    for items in ([], [item()] * 1001, None, {}, "x"):
        for send in (api.client.post, api.client.patch):
            assert bad_names(await send(URL, headers=account.headers, json={"items": items})) == {"items"}


async def test_the_body_may_have_5_mb_here_and_nowhere_else(api, account):
    large = orjson.dumps({"items": [item(name="x" * 3_000_000)]})
    answer = await api.client.post(URL, headers=account.headers, content=large)
    assert answer.json()["data"][0]["status"] == 422
    problem_of(await api.client.post("/v1/qr-codes", headers=account.headers, content=large), 413, "body_too_large")
    larger = b" " * (5 << 20) + large
    problem_of(await api.client.post(URL, headers=account.headers, content=larger), 413, "body_too_large")


async def test_codes_that_collide_are_drawn_again(api, account):
    await api.create_code(account, short_code="taken22")
    draws = iter(["taken22", "free222", "free222", "free333", "free444"])
    api.app.state.code_creation._generate_code = lambda: next(draws)
    body = await create(api, account, [item(), item(), item()])
    assert sorted(each["qr_code"]["short_code"] for each in body["data"]) == ["free222", "free333", "free444"]

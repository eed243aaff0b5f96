"""What each priced route takes: once for what was answered, nothing for what was not, and never twice."""

import pytest

from tests.integration.control_api.api_client import ADMIN, TARGET, problem_of

AT = "2026-11-10T10:00:00Z"
NOVEMBER = {"from": "2026-11-01", "to": "2026-12-01"}


@pytest.fixture
async def api(open_api, clickhouse_url):
    async with open_api(clickhouse_url=clickhouse_url) as opened:
        yield opened


async def set_up(api, account, amount, **prices):
    for action, price in prices.items():
        body = {"action": action.replace("__", "."), "credits": price}
        assert (await api.client.post("/v1/admin/credits/prices", headers=ADMIN, json=body)).status_code == 201
    body = {"workspace_id": account.workspace_id, "amount": amount, "reason": "test"}
    assert (await api.client.post("/v1/admin/credits/add", headers=ADMIN, json=body)).status_code == 200


async def holdings(api, account):
    answer = (await api.client.get("/v1/credits", headers=account.headers)).json()
    return answer["balance"], answer["reserved"]


async def query(api, account, params=(), **asked):
    return await api.client.post("/v1/query", headers=account.headers, params=dict(params), json=NOVEMBER | asked)


async def test_codes_made_in_bulk_cost_for_each_that_was_made(api, account):
    await set_up(api, account, 10, qr_code__created=3)
    await api.create_code(account, short_code="menu")
    items = [{"name": "A", "target_url": TARGET, "short_code": code} for code in ("menu", "lunch", "dinner")]
    answer = await api.client.post("/v1/qr-codes/bulk", headers=account.headers, json={"items": items})
    assert answer.json()["succeeded"] == 2
    assert await holdings(api, account) == (1, 0)
    more = [{"name": "A", "target_url": TARGET} for _ in range(2)]
    refused = await api.client.post("/v1/qr-codes/bulk", headers=account.headers, json={"items": more})
    problem_of(refused, 402, "insufficient_credits")
    listed = (await api.client.get("/v1/qr-codes", headers=account.headers)).json()["data"]
    assert len(listed) == 3


async def test_an_image_costs_when_it_is_drawn_and_not_when_it_is_at_hand(api, account, code):
    await set_up(api, account, 5, image__rendered=2)
    url = f"/v1/qr-codes/{code['id']}/image.svg"
    drawn = await api.client.get(url, headers=account.headers)
    assert await holdings(api, account) == (3, 0)
    at_hand = await api.client.get(url, headers=account.headers | {"If-None-Match": drawn.headers["etag"]})
    assert at_hand.status_code == 304
    for refused in (f"{url}?size=1", url.replace(code["id"], account.user_id)):
        assert (await api.client.get(refused, headers=account.headers)).status_code in (404, 422)
    assert await holdings(api, account) == (3, 0)
    assert (await api.client.get(url, headers=account.headers)).status_code == 200
    problem_of(await api.client.get(url, headers=account.headers), 402, "insufficient_credits")
    assert await holdings(api, account) == (1, 0)


async def test_a_question_costs_when_it_is_answered(api, account):
    await set_up(api, account, 3, api__query=2)
    assert (await query(api, account, select=["sums"])).status_code == 422
    assert (await query(api, account, select=["count"])).status_code == 200
    assert await holdings(api, account) == (1, 0)
    problem_of(await query(api, account, select=["count"]), 402, "insufficient_credits")


@pytest.mark.parametrize("form", ["csv", "ndjson"])
async def test_an_export_costs_for_each_row(api, account, code, scans, form):
    await scans.add(account, code, AT, AT, AT)
    await set_up(api, account, 10, export__row=2)
    answer = await query(api, account, {"format": form}, select=["rows"])
    assert len(answer.text.splitlines()) == (4 if form == "csv" else 3)
    assert await holdings(api, account) == (4, 0)


@pytest.mark.parametrize("form", ["csv", "ndjson"])
async def test_a_row_is_a_row_however_many_lines_its_texts_have(api, account, scans, form):
    await scans.add(account, None, AT, AT, referer='two\nlines, "quoted"\n', city='"')
    await set_up(api, account, 10, export__row=2)
    assert (await query(api, account, {"format": form}, select=["rows"])).status_code == 200
    assert await holdings(api, account) == (6, 0)


async def test_an_export_that_cannot_be_paid_whole_does_not_begin(api, account, scans):
    await scans.add(account, None, AT, AT, country="DE")
    await scans.add(account, None, AT, country="FR")
    await set_up(api, account, 5, export__row=2)
    refused = problem_of(await query(api, account, {"format": "csv"}, select=["rows"]), 402, "insufficient_credits")
    assert (refused["price"], refused["available"]) == (6, 5)
    groups = await query(api, account, {"format": "csv"}, select=["count"], group_by=["country"])
    assert len(groups.text.splitlines()) == 3
    assert await holdings(api, account) == (1, 0)


async def test_an_export_without_rows_costs_nothing_and_one_without_credits_does_not_begin(api, account):
    await set_up(api, account, 1, export__row=1)
    assert (await query(api, account, {"format": "csv"}, select=["rows"])).status_code == 200
    assert await holdings(api, account) == (1, 0)
    await set_up(api, account, 1, export__row=3)
    problem_of(await query(api, account, {"format": "csv"}, select=["rows"]), 402, "insufficient_credits")


async def test_a_request_that_is_repeated_is_charged_once(api, account):
    await set_up(api, account, 10, qr_code__created=3, api__query=2)
    for path, body in (
        ("/v1/qr-codes", {"name": "Menu", "target_url": TARGET}),
        ("/v1/query", NOVEMBER | {"select": ["count"]}),
    ):
        headers = account.headers | {"Idempotency-Key": f"once{path}"}
        for is_repeated in (False, True):
            answer = await api.client.post(path, headers=headers, json=body)
            assert answer.is_success, answer.text
            assert ("idempotency-replayed" in answer.headers) is is_repeated
    assert await holdings(api, account) == (5, 0)

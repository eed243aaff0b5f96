"""Credits over HTTP: balance, history, prices, what routes cost, token usage, what admins do."""

import asyncio
import csv
import io
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import asyncpg
import pytest

from tests.integration.control_api.api_client import ADMIN, TARGET, bad_names, problem_of


async def add(api, account, amount, **fields):
    body = {"workspace_id": account.workspace_id, "amount": amount, "reason": "test"} | fields
    return await api.client.post("/v1/admin/credits/add", headers=ADMIN, json=body)


async def deduct(api, account, amount, **fields):
    body = {"workspace_id": account.workspace_id, "amount": amount, "reason": "test"} | fields
    return await api.client.post("/v1/admin/credits/deduct", headers=ADMIN, json=body)


async def set_price(api, action, price, **fields):
    body = {"action": action, "credits": price} | fields
    answer = await api.client.post("/v1/admin/credits/prices", headers=ADMIN, json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()


async def balance(api, account):
    answer = await api.client.get("/v1/credits", headers=account.headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def history(api, account, **query):
    answer = await api.client.get("/v1/credits/history", headers=account.headers, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def create_code(api, account, **headers):
    body = {"name": "Menu", "target_url": TARGET}
    return await api.client.post("/v1/qr-codes", headers=account.headers | headers, json=body)


async def report(api, account, request_id="r1", path="/v1/token_used", **fields):
    body = {"request_id": request_id, "model": "gpt-4o", "prompt_tokens": 1000, "completion_tokens": 500} | fields
    return await api.client.post(path, headers=account.headers, json=body)


# --- balance and history ---


async def test_a_new_workspace_holds_nothing_and_creates_codes_all_the_same(api, account):
    assert await balance(api, account) == {
        "balance": 0,
        "reserved": 0,
        "available": 0,
        "currency": "credits",
        "next_expiry": None,
        "lots": [],
    }
    assert (await create_code(api, account)).status_code == 201
    assert await history(api, account) == {"data": [], "next_cursor": None}


async def test_an_admin_adds_and_deducts_with_a_reason_that_the_audit_log_keeps(api, account, postgres_dsn):
    added = await add(api, account, 500, reason="welcome", reference="ticket-7")
    assert added.status_code == 200, added.text
    assert added.json()["balance"] == 500
    deducted = (await deduct(api, account, 120)).json()
    assert (deducted["balance"], deducted["entry"]["amount"], deducted["entry"]["kind"]) == (380, -120, "adjustment")
    entries = (await history(api, account))["data"]
    assert [(each["seq"], each["amount"], each["balance_after"]) for each in entries] == [
        (2, -120, 380),
        (1, 500, 500),
    ]
    assert (entries[1]["reason"], entries[1]["reference"], entries[1]["actor"]) == (
        "welcome",
        "ticket-7",
        "platform-admin",
    )
    connection = await asyncpg.connect(postgres_dsn)
    rows = await connection.fetch("SELECT action, reason FROM audit_log WHERE action LIKE 'credits.%' ORDER BY at")
    await connection.close()
    assert [tuple(row) for row in rows] == [("credits.added", "welcome"), ("credits.deducted", "test")]


async def test_a_user_id_means_the_users_personal_workspace(api, account):
    answer = await api.client.post(
        "/v1/admin/credits/add", headers=ADMIN, json={"user_id": account.user_id, "amount": 5, "reason": "x"}
    )
    assert answer.status_code == 200, answer.text
    assert (await balance(api, account))["balance"] == 5


async def test_a_deduction_of_more_than_there_is_takes_nothing(api, account):
    await add(api, account, 10)
    problem = problem_of(await deduct(api, account, 11), 402, "insufficient_credits")
    assert (problem["price"], problem["balance"], problem["available"]) == (11, 10, 10)
    assert (await balance(api, account))["balance"] == 10


async def test_the_same_ledger_key_has_one_effect_and_another_amount_is_a_conflict(api, account, postgres_dsn):
    first = (await add(api, account, 10, idempotency_key="k")).json()
    again = (await add(api, account, 10, idempotency_key="k")).json()
    assert first == again
    problem_of(await add(api, account, 11, idempotency_key="k"), 409, "credit_key_reused")
    problem_of(await deduct(api, account, 10, idempotency_key="k"), 409, "credit_key_reused")
    assert (await balance(api, account))["balance"] == 10
    connection = await asyncpg.connect(postgres_dsn)
    assert await connection.fetchval("SELECT count(*) FROM audit_log WHERE action = 'credits.added'") == 1
    await connection.close()


async def test_what_is_not_there_is_not_found(api, account):
    nobody = {"workspace_id": str(uuid4()), "amount": 1, "reason": "x"}
    problem_of(await api.client.post("/v1/admin/credits/add", headers=ADMIN, json=nobody), 404, "not_found")
    nobody = {"user_id": str(uuid4()), "amount": 1, "reason": "x"}
    problem_of(await api.client.post("/v1/admin/credits/deduct", headers=ADMIN, json=nobody), 404, "not_found")
    url = f"/v1/admin/credits/wallets/{uuid4()}"
    problem_of(await api.client.get(url, headers=ADMIN), 404, "not_found")
    problem_of(await api.client.patch(url, headers=ADMIN, json={"monthly_grant": 1}), 404, "not_found")


@pytest.mark.parametrize("amount", [0, -5, 1.5, "7", 10**13, None])
async def test_amounts_are_whole_and_positive(api, account, amount):
    assert bad_names(await add(api, account, amount)) == {"amount"}


async def test_one_holder_and_a_reason_are_needed(api, account):
    for body in ({"amount": 1}, {"amount": 1, "reason": "x", "user_id": account.user_id} | {"workspace_id": None}):
        if "reason" not in body:
            answer = await api.client.post("/v1/admin/credits/add", headers=ADMIN, json=body)
            assert "reason" in bad_names(answer)
    both = {"amount": 1, "reason": "x", "user_id": account.user_id, "workspace_id": account.workspace_id}
    answer = await api.client.post("/v1/admin/credits/add", headers=ADMIN, json=both)
    problem_of(answer, 422, "invalid_parameters")
    assert "expires_at" in bad_names(await add(api, account, 1, expires_at="2020-01-01T00:00:00Z"))


async def test_members_may_not_add_and_the_admin_has_no_wallet(api, account):
    body = {"workspace_id": account.workspace_id, "amount": 1, "reason": "x"}
    problem_of(
        await api.client.post("/v1/admin/credits/add", headers=account.headers, json=body), 403, "admin_key_needed"
    )
    problem_of(await api.client.get("/v1/credits", headers=ADMIN), 403, "workspace_key_needed")
    problem_of(await api.client.get("/v1/credits"), 401, "unauthenticated")


async def test_lots_show_what_goes_next(api, account):
    soon = datetime.now(UTC).replace(microsecond=0) + timedelta(days=3)
    await add(api, account, 100, kind="purchase")
    await add(api, account, 30, expires_at=soon.isoformat())
    found = await balance(api, account)
    assert found["next_expiry"] == {"at": soon.isoformat(), "amount": 30} or found["next_expiry"]["amount"] == 30
    assert [(lot["source"], lot["remaining"]) for lot in found["lots"]] == [("granted", 30), ("purchased", 100)]
    await deduct(api, account, 40)
    found = await balance(api, account)
    assert [(lot["source"], lot["remaining"]) for lot in found["lots"]] == [("purchased", 90)]


async def test_history_is_paged_filtered_and_another_workspaces_is_its_own(api, account):
    for number in range(5):
        await add(api, account, 10 + number, reference=f"ref-{number % 2}")
    await deduct(api, account, 3)
    seen, cursor = [], None
    while True:
        query = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        page = await history(api, account, **query)
        seen += [each["seq"] for each in page["data"]]
        if not (cursor := page["next_cursor"]):
            break
        await add(api, account, 1)  # what comes meanwhile shifts nothing
    assert seen == [6, 5, 4, 3, 2, 1]
    assert len((await history(api, account, reference="ref-1"))["data"]) == 2
    assert [each["amount"] for each in (await history(api, account, kind="adjustment"))["data"]] == [-3]
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    assert (await history(api, account, **{"from": tomorrow}))["data"] == []
    assert len((await history(api, account, to=tomorrow))["data"]) == 8
    assert (await history(api, await api.create_account()))["data"] == []
    answer = await api.client.get("/v1/credits/history", headers=account.headers, params={"kind": "gift"})
    assert bad_names(answer) == {"kind"}


async def test_history_is_asked_for_by_references_that_there_can_be(api, account):
    answer = await api.client.get("/v1/credits/history", headers=account.headers, params={"reference": "a\x03b"})
    assert bad_names(answer) == {"reference"}


async def test_history_comes_as_csv_when_asked_for(api, account):
    await add(api, account, 10, reason="=1+1", reference='a "b", c')
    await deduct(api, account, 4)
    headers = account.headers | {"Accept": "text/csv"}
    answer = await api.client.get("/v1/credits/history", headers=headers)
    assert answer.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [(row["seq"], row["amount"]) for row in rows] == [("2", "-4"), ("1", "10")]
    assert (rows[1]["reason"], rows[1]["reference"]) == ("'=1+1", 'a "b", c')


async def test_a_history_that_cannot_be_read_is_an_error_and_no_csv(api, account, postgres_dsn):
    """Postgres says no once the caller is known, before the first row."""
    connection = await asyncpg.connect(postgres_dsn)
    await connection.execute("ALTER TABLE credit_entries RENAME TO elsewhere")
    await connection.close()
    headers = account.headers | {"Accept": "text/csv"}
    problem_of(await api.client.get("/v1/credits/history", headers=headers), 503, "store_unavailable")


async def test_usage_is_told_per_day_also_where_there_was_none(api, account):
    await add(api, account, 10_000)
    await report(api, account)
    answer = await api.client.get("/v1/credits/usage", headers=account.headers)
    found = answer.json()
    assert len(found["days"]) == 30
    today = found["days"][-1]
    assert today["date"] == datetime.now(UTC).date().isoformat()
    assert (today["used"], today["actions"]) == (8, {"ai.tokens": 8})
    assert today["kinds"] == {"grant": 10_000, "usage": -8}
    assert today["qr_codes_created"] == 0
    assert found["used"] == 8
    assert found["days"][0]["kinds"] == {}
    for bounds in (("2026-01-02", "2026-01-04"), ("2026-01-02T23:59:59Z", "2026-01-03T00:00:01+00:00")):
        query = dict(zip(("from", "to"), bounds, strict=True))
        answer = await api.client.get("/v1/credits/usage", headers=account.headers, params=query)
        assert [day["date"] for day in answer.json()["days"]] == ["2026-01-02", "2026-01-03"]
    for query, name in (
        ({"from": "2026-01-02", "to": "2026-01-01"}, "from"),
        ({"from": "2020-01-01", "to": "2026-01-01"}, "from"),
        ({"from": "0001-01-01", "to": "2026-01-01"}, "from"),
        ({"from": "tomorrow"}, "from"),
    ):
        answer = await api.client.get("/v1/credits/usage", headers=account.headers, params=query)
        assert bad_names(answer) == {name}


# --- prices and what routes cost ---


async def test_a_priced_action_is_charged_and_the_entry_keeps_the_version_of_its_price(api, account):
    price = await set_price(api, "qr_code.created", 7)
    await add(api, account, 20)
    for _ in range(2):
        assert (await create_code(api, account)).status_code == 201
        await set_price(api, "qr_code.created", 5)
    entries = (await history(api, account, kind="usage"))["data"]
    assert [(each["amount"], each["action"], each["units"]) for each in entries] == [
        (-5, "qr_code.created", 1),
        (-7, "qr_code.created", 1),
    ]
    assert entries[1]["price_version"] == price["version"]
    assert entries[0]["price_version"] == price["version"] + 1
    assert entries[0]["reference"]


async def test_without_the_credits_nothing_is_created_and_the_answer_tells_price_and_balance(api, account):
    await set_price(api, "qr_code.created", 7)
    await add(api, account, 6)
    problem = problem_of(await create_code(api, account), 402, "insufficient_credits")
    assert (problem["price"], problem["balance"], problem["available"]) == (7, 6, 6)
    listed = await api.client.get("/v1/qr-codes", headers=account.headers)
    assert listed.json()["data"] == []
    assert (await balance(api, account))["balance"] == 6


async def test_what_fails_costs_nothing(api, account):
    await set_price(api, "qr_code.created", 7)
    await add(api, account, 20)
    body = {"name": "Menu", "target_url": TARGET, "short_code": "menu-7"}
    for status in (201, 409):
        answer = await api.client.post("/v1/qr-codes", headers=account.headers, json=body)
        assert answer.status_code == status
    answer = await api.client.post("/v1/qr-codes", headers=account.headers, json={"name": "Menu"})
    assert answer.status_code == 422
    assert (await balance(api, account))["balance"] == 13


async def test_a_crowd_creates_as_many_codes_as_there_are_credits_for(api, account):
    await set_price(api, "qr_code.created", 3)
    await add(api, account, 25)
    answers = await asyncio.gather(*(create_code(api, account) for _ in range(20)))
    assert sorted(answer.status_code for answer in answers) == [201] * 8 + [402] * 12
    assert (await balance(api, account))["balance"] == 1


async def test_prices_have_versions_and_begin_when_they_are_said_to(api, account):
    later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    await set_price(api, "image.rendered", 4, valid_from=later, reason="from next hour on")
    current = (await api.client.get("/v1/credits/prices", headers=account.headers)).json()["data"]
    by_action = {each["action"]: each["credits"] for each in current if each["model"] is None}
    assert by_action["image.rendered"] == 0
    page = (await api.client.get("/v1/admin/credits/prices", headers=ADMIN, params={"limit": 1})).json()
    assert (page["data"][0]["credits"], page["data"][0]["set_by"]) == (4, "platform-admin")
    query = {"limit": 200, "cursor": page["next_cursor"]}
    rest = (await api.client.get("/v1/admin/credits/prices", headers=ADMIN, params=query)).json()
    assert page["data"][0]["version"] not in {each["version"] for each in rest["data"]}
    for body in (
        {"action": "image.rendered", "credits": 1, "valid_from": "2020-01-01T00:00:00Z"},
        {"action": "ai.tokens", "credits": 1},
        {"action": "ai.tokens", "model": "m", "credits": 1},
        {"action": "image.rendered", "model": "m", "credits": 1},
        {"action": "nothing", "credits": 1},
        {"action": "image.rendered", "credits": -1},
    ):
        answer = await api.client.post("/v1/admin/credits/prices", headers=ADMIN, json=body)
        problem_of(answer, 422, "invalid_parameters")


# --- reservations ---


async def test_a_reservation_holds_is_settled_once_and_what_is_over_comes_back(api, account):
    await add(api, account, 100)
    url = "/v1/credits/reservations"
    reserved = await api.client.post(url, headers=account.headers, json={"amount": 60, "idempotency_key": "job-1"})
    assert reserved.status_code == 201, reserved.text
    found = reserved.json()
    assert (found["balance"], found["reserved"], found["available"]) == (100, 60, 40)
    again = await api.client.post(url, headers=account.headers, json={"amount": 60, "idempotency_key": "job-1"})
    assert again.json()["id"] == found["id"]
    problem_of(await api.client.post(url, headers=account.headers, json={"amount": 41}), 402, "insufficient_credits")
    problem_of(await deduct(api, account, 41), 402, "insufficient_credits")
    for _ in range(2):
        settled = await api.client.post(f"{url}/{found['id']}/settle", headers=account.headers, json={"amount": 45})
        assert settled.json() == {"charged": 45, "shortfall": 0, "balance": 55}
    problem_of(
        await api.client.post(f"{url}/{found['id']}/settle", headers=account.headers, json={"amount": 46}),
        409,
        "reservation_closed",
    )
    problem_of(
        await api.client.post(f"{url}/{found['id']}/release", headers=account.headers), 409, "reservation_closed"
    )
    other = await api.create_account()
    problem_of(await api.client.post(f"{url}/{found['id']}/release", headers=other.headers), 404, "not_found")


@pytest.mark.parametrize("end", ["settle", "release"])
async def test_a_reservation_that_has_ended_is_not_told_as_open_when_its_key_comes_again(api, account, end):
    await add(api, account, 100)
    url, body = "/v1/credits/reservations", {"amount": 60, "idempotency_key": "job-1"}
    reserved = (await api.client.post(url, headers=account.headers, json=body)).json()
    ended = {"json": {"amount": 60}} if end == "settle" else {}
    answer = await api.client.post(f"{url}/{reserved['id']}/{end}", headers=account.headers, **ended)
    assert answer.status_code == 200
    problem_of(await api.client.post(url, headers=account.headers, json=body), 409, "reservation_closed")


async def test_another_tenants_reservation_leaves_no_trace(api, account, postgres_dsn):
    await add(api, account, 100)
    url = "/v1/credits/reservations"
    reserved = (await api.client.post(url, headers=account.headers, json={"amount": 60})).json()
    other = await api.create_account()
    mine, settlement = f"{url}/{reserved['id']}", {"amount": 60}
    problem_of(await api.client.post(f"{mine}/release", headers=other.headers), 404, "not_found")
    problem_of(await api.client.post(f"{mine}/settle", headers=other.headers, json=settlement), 404, "not_found")
    refund = {"workspace_id": other.workspace_id, "entry_id": str(uuid4()), "reason": "x"}
    problem_of(await api.client.post("/v1/admin/credits/refund", headers=ADMIN, json=refund), 404, "not_found")
    connection = await asyncpg.connect(postgres_dsn)
    assert await connection.fetchval("SELECT count(*) FROM wallets") == 1
    await connection.close()


async def test_the_ledgers_time_is_the_databases(open_api, postgres_dsn):
    connection = await asyncpg.connect(postgres_dsn)
    async with open_api(clock=lambda: datetime.now(UTC) + timedelta(days=30)) as api:
        account = await api.create_account()
        before = await connection.fetchval("SELECT clock_timestamp()")
        await add(api, account, 100)
        await api.client.patch(
            "/v1/credits/settings", headers=account.headers, json={"low_balance_thresholds": [1000]}
        )
        await add(api, account, 100)
        body = {"amount": 60, "hold_s": 60}
        await api.client.post("/v1/credits/reservations", headers=account.headers, json=body)
    after = await connection.fetchval("SELECT clock_timestamp()")
    times = await connection.fetch("SELECT at FROM credit_entries ORDER BY seq")
    ends = await connection.fetchval("SELECT expires_at FROM credit_reservations")
    await connection.close()
    assert before <= times[0]["at"] <= times[1]["at"] <= ends - timedelta(seconds=60) <= after


async def test_a_refunds_key_is_of_the_entry_it_gives_back(api, account):
    await add(api, account, 100)
    entries = [(await deduct(api, account, 40)).json()["entry"]["id"] for _ in range(2)]
    body = {"workspace_id": account.workspace_id, "reason": "sorry", "idempotency_key": "k"}
    url = "/v1/admin/credits/refund"
    first, again, other = [
        await api.client.post(url, headers=ADMIN, json=body | {"entry_id": entry, "amount": 40})
        for entry in (entries[0], *entries)
    ]
    assert again.json() == first.json()
    problem_of(other, 409, "credit_key_reused")


async def test_a_refund_gives_back_once_what_an_entry_took(api, account):
    await add(api, account, 100)
    entry = (await deduct(api, account, 40)).json()["entry"]
    body = {"workspace_id": account.workspace_id, "entry_id": entry["id"], "reason": "sorry"}
    url = "/v1/admin/credits/refund"
    part = await api.client.post(url, headers=ADMIN, json=body | {"amount": 15})
    assert (part.json()["balance"], part.json()["entry"]["kind"]) == (75, "refund")
    problem_of(await api.client.post(url, headers=ADMIN, json=body | {"amount": 26}), 409, "refund_excessive")
    assert (await api.client.post(url, headers=ADMIN, json=body)).json()["balance"] == 100
    problem_of(await api.client.post(url, headers=ADMIN, json=body), 409, "refund_excessive")
    problem_of(await api.client.post(url, headers=ADMIN, json=body | {"entry_id": str(uuid4())}), 404, "not_found")


# --- token usage ---


@pytest.mark.parametrize("path", ["/v1/token_used", "/api/v1/token_used"])
async def test_a_request_is_deducted_once_however_often_it_is_reported(api, account, path):
    await add(api, account, 100)
    first = await report(api, account, path=path, cost=0.0075, metadata={"team": "a"})
    assert first.json() == {"request_id": "r1", "charged": 8, "shortfall": 0, "balance": 92, "duplicate": False}
    again = await report(api, account, path=path)
    assert again.json() == first.json() | {"duplicate": True}
    assert (await balance(api, account))["balance"] == 92


async def test_tokens_beyond_the_balance_take_what_there_is_and_tell_the_rest(api, account):
    await add(api, account, 5)
    assert (await report(api, account)).json() | {"duplicate": None} == {
        "request_id": "r1",
        "charged": 5,
        "shortfall": 3,
        "balance": 0,
        "duplicate": None,
    }
    await add(api, account, 50)
    assert (await report(api, account)).json()["charged"] == 5
    second = (await report(api, account, "r2")).json()
    assert (second["charged"], second["balance"]) == (8, 42)
    empty = await api.create_account()
    for is_duplicate in (False, True):
        found = (await report(api, empty)).json()
        assert (found["charged"], found["shortfall"], found["duplicate"]) == (0, 8, is_duplicate)


async def test_an_unknown_model_is_refused_with_those_that_are_known_until_there_is_a_default(api, account):
    problem = problem_of(await report(api, account, model="gpt-99"), 422, "unknown_model")
    assert "gpt-4o" in problem["known_models"]
    assert problem["invalid_parameters"][0]["name"] == "model"
    await set_price(api, "ai.tokens", 1_000_000, model="*", completion_credits=0)
    await add(api, account, 5000)
    assert (await report(api, account, model="gpt-99")).json()["charged"] == 1000
    await set_price(api, "ai.tokens", None, model="gpt-4o")
    assert (await report(api, account, "r2")).json()["charged"] == 1000


async def test_a_batch_tells_each_items_result(api, account):
    await add(api, account, 10)
    item = {"model": "gpt-4o", "prompt_tokens": 1000, "completion_tokens": 500}
    items = [item | {"request_id": name} for name in ("a", "b", "a")] + [item | {"request_id": "c", "model": "?"}]
    answer = await api.client.post("/v1/token_used/batch", headers=account.headers, json={"items": items})
    results = answer.json()["data"]
    assert [each["status"] for each in results] == [200, 200, 200, 422]
    assert [each["result"]["charged"] for each in results[:3]] == [8, 2, 8]
    assert (results[1]["result"]["shortfall"], results[3]["code"]) == (6, "unknown_model")
    for bad in ([], [item | {"request_id": str(number)} for number in range(101)]):
        answer = await api.client.post("/v1/token_used/batch", headers=account.headers, json={"items": bad})
        assert bad_names(answer) == {"items"}


async def test_the_credit_services_key_reports_for_every_workspace_and_does_nothing_else(open_api):
    async with open_api(x_api_key="the-credit-services-key") as api:
        account, service = await api.create_account(), {"X-API-Key": "the-credit-services-key"}
        await add(api, account, 100)
        body = {"request_id": "r1", "model": "gpt-4o", "prompt_tokens": 1000, "completion_tokens": 500}
        answer = await api.client.post("/v1/token_used", headers=service, json=body)
        assert bad_names(answer) == {"workspace_id"}
        for holder in ({"workspace_id": account.workspace_id}, {"user_id": account.user_id}):
            answer = await api.client.post("/v1/token_used", headers=service, json=body | holder)
            assert answer.json()["balance"] == 92
        answer = await api.client.post("/v1/token_used", headers=service, json=body | {"user_id": str(uuid4())})
        problem_of(answer, 404, "not_found")
        assert "ratelimit" in answer.headers  # as any key, and unlike the platform admin's
        problem_of(await api.client.get("/v1/credits", headers=service), 401, "unauthenticated")
        problem_of(await api.client.get("/v1/admin/jobs", headers=service), 401, "unauthenticated")
        answer = await report(api, account, workspace_id=account.workspace_id)
        assert bad_names(answer) == {"workspace_id"}


async def test_a_batch_that_is_a_transaction_locks_wallets_in_one_order(open_api, postgres_dsn):
    """Whoever waits for the first wallet holds none of the others, in whatever order they are named."""
    async with open_api(x_api_key="the-credit-services-key") as api:
        wallets = sorted([(await api.create_account()).workspace_id for _ in range(3)])
        for wallet in wallets:
            body = {"workspace_id": wallet, "amount": 100, "reason": "test"}
            await api.client.post("/v1/admin/credits/add", headers=ADMIN, json=body)
        request = {"model": "gpt-4o", "prompt_tokens": 1000, "completion_tokens": 500}
        items = [request | {"request_id": wallet, "workspace_id": wallet} for wallet in reversed(wallets)]
        headers = {"X-API-Key": "the-credit-services-key", "Idempotency-Key": "k"}
        blocker, looker = [await asyncpg.connect(postgres_dsn) for _ in range(2)]
        async with blocker.transaction():
            await blocker.execute("SELECT FROM wallets WHERE workspace_id = $1 FOR UPDATE", wallets[0])
            sent = api.client.post("/v1/token_used/batch", headers=headers, json={"items": items})
            batch = asyncio.create_task(sent)
            async with asyncio.timeout(20):
                while not await looker.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            rows = await looker.fetch("SELECT workspace_id FROM wallets ORDER BY 1 FOR UPDATE SKIP LOCKED")
            assert [str(row["workspace_id"]) for row in rows] == wallets[1:]
        results = (await batch).json()["data"]
        assert [(each["request_id"], each["status"]) for each in results] == [
            (wallet, 200) for wallet in reversed(wallets)
        ]
        for each in (blocker, looker):
            await each.close()


# --- settings ---


async def test_falling_below_a_threshold_is_told_once_a_month(api, account, postgres_dsn):
    await add(api, account, 100)
    change = {"low_balance_thresholds": [50, 10]}
    answer = await api.client.patch("/v1/credits/settings", headers=account.headers, json=change)
    assert answer.json() == change
    for amount in (50, 1, 30):
        await deduct(api, account, amount)
    await add(api, account, 100)
    await deduct(api, account, 100)
    await deduct(api, account, 15)
    connection = await asyncpg.connect(postgres_dsn)
    rows = await connection.fetch(
        "SELECT kind, data->'threshold', data->'balance' FROM outbox_events ORDER BY position"
    )
    await connection.close()
    assert [tuple(row) for row in rows] == [("credits.low_balance", "50", "49"), ("credits.low_balance", "10", "4")]


async def test_the_default_grant_and_a_workspaces_own(api, account):
    settings, wallet = "/v1/admin/credits/settings", f"/v1/admin/credits/wallets/{account.workspace_id}"
    assert (await api.client.get(settings, headers=ADMIN)).json() == {"monthly_grant": 0}
    assert (await api.client.patch(settings, headers=ADMIN, json={"monthly_grant": 50})).json() == {
        "monthly_grant": 50
    }
    assert (await api.client.get(wallet, headers=ADMIN)).json()["monthly_grant"] is None
    changed = await api.client.patch(wallet, headers=ADMIN, json={"monthly_grant": 70})
    assert changed.json()["monthly_grant"] == 70
    assert bad_names(await api.client.patch(settings, headers=ADMIN, json={"monthly_grant": None})) == {
        "monthly_grant"
    }

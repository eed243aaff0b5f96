"""What a code said and is to say: history, rollback, changes at a time."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from control_api.app import build_app
from tests.integration.control_api.api_client import TARGET, bad_names, problem_of

LATER = (datetime.now(UTC) + timedelta(days=1)).isoformat()


async def history(api, account, code, query=""):
    return await api.client.get(f"/v1/qr-codes/{code['id']}/history{query}", headers=account.headers)


async def roll_back(api, account, code, version, **fields):
    url = f"/v1/qr-codes/{code['id']}/rollback"
    return await api.client.post(url, headers=account.headers, json={"version": version} | fields)


async def schedule(api, account, code, at=LATER, reason=None, **change):
    url = f"/v1/qr-codes/{code['id']}/scheduled-changes"
    return await api.client.post(url, headers=account.headers, json={"at": at, "change": change, "reason": reason})


async def scheduled(api, account, code):
    answer = await api.client.get(f"/v1/qr-codes/{code['id']}/scheduled-changes", headers=account.headers)
    assert answer.status_code == 200
    return answer.json()["data"]


async def make_due(database):
    await database.execute("UPDATE qr_code_scheduled_changes SET at = at - interval '2 days'")


async def read(api, account, code):
    return (await api.client.get(f"/v1/qr-codes/{code['id']}", headers=account.headers)).json()


@pytest.mark.parametrize("body", [{}, {"reason": "none"}])
async def test_a_reason_alone_is_no_change(api, account, code, body):
    answer = await api.client.patch(f"/v1/qr-codes/{code['id']}", headers=account.headers, json=body)
    [bad] = problem_of(answer, 422, "invalid_parameters")["invalid_parameters"]
    assert bad["reason"].startswith("must hold at least one of name, target_url, ")
    assert "reason" not in bad["reason"]


async def test_the_history_tells_who_changed_what_and_why_newest_first(api, account, code):
    await api.change_code(account, code, name="Carte", target_url="https://example.org/", reason="new menu")
    await api.change_code(account, code, password="one")
    await api.change_code(account, code, password="two")
    await api.change_code(account, code, password=None)
    body = (await history(api, account, code)).json()
    told = [(each["version"], each["reason"], each["changes"]) for each in body["data"]]
    assert told == [
        (5, None, [{"field": "password", "from": True, "to": False}]),
        (4, None, [{"field": "password", "from": True, "to": True}]),
        (3, None, [{"field": "password", "from": False, "to": True}]),
        (
            2,
            "new menu",
            [
                {"field": "name", "from": "Menu", "to": "Carte"},
                {"field": "target_url", "from": TARGET, "to": "https://example.org/"},
            ],
        ),
        (1, None, []),
    ]
    assert {each["changed_by"] for each in body["data"]} == {f"key:{account.key.split('_')[1]}"}
    assert "mark" not in str(body)
    assert "argon2" not in str(body)


async def test_the_history_is_paged_and_that_of_a_deleted_code_can_be_read(api, account, code):
    for number in range(4):
        await api.change_code(account, code, name=f"Name {number}")
    await api.client.delete(f"/v1/qr-codes/{code['id']}", headers=account.headers)
    seen, cursor = [], ""
    while cursor is not None:
        page = (await history(api, account, code, f"?limit=2{cursor}")).json()
        seen += [each["version"] for each in page["data"]]
        cursor = page["next_cursor"] and f"&cursor={page['next_cursor']}"
        if cursor and len(seen) == 2:
            await api.client.post(f"/v1/qr-codes/{code['id']}/restore", headers=account.headers)
    assert seen == [6, 5, 4, 3, 2, 1]
    problem_of(await history(api, account, code, "?cursor=x"), 400, "bad_cursor")


async def test_a_rollback_is_a_new_version_that_says_what_the_old_one_said(api, account, cached):
    rule = {"when": [{"field": "country", "op": "in", "value": ["DE"]}], "target_url": "https://example.com/de"}
    first = await api.create_code(
        account, rules=[rule], tags=["a"], starts_at="2026-01-01T00:00:00Z", expires_at="2999-01-01T00:00:00Z"
    )
    await api.change_code(account, first, rules=[], tags=[], starts_at=None, target_url="https://example.org/")
    await api.change_code(account, first, status="paused", password="open sesame")
    answer = await roll_back(api, account, first, 1, reason="was better")
    back = answer.json()
    assert (answer.status_code, answer.headers["etag"]) == (200, '"4"')
    assert back == first | {
        "version": 4,
        "updated_at": back["updated_at"],
        "status": "paused",
        "is_active": False,
        "has_password": True,
    }
    route = await cached(first)
    assert (route.version, len(route.rules)) == (4, 1)
    newest = (await history(api, account, first)).json()["data"][0]
    assert newest["reason"] == "was better"
    assert (await roll_back(api, account, first, 1)).json() == back
    assert bad_names(await roll_back(api, account, first, 9)) == {"version"}
    for bad in (0, -1, "1", 1.5, None, 2**63):
        assert bad_names(await roll_back(api, account, first, bad)) == {"version"}


async def test_a_rollback_heeds_if_match(api, account, code):
    await api.change_code(account, code, name="Other")
    url = f"/v1/qr-codes/{code['id']}/rollback"
    headers = account.headers | {"If-Match": '"1"'}
    problem_of(await api.client.post(url, headers=headers, json={"version": 1}), 412, "stale_version")


async def test_a_change_is_applied_at_its_time_and_once_and_reaches_redis(api, account, code, database, cached):
    answer = await schedule(api, account, code, reason="season", target_url="https://example.org/", password="x")
    pending = answer.json()
    assert (answer.status_code, pending["status"], pending["version"]) == (201, "pending", None)
    assert pending["change"] == {"target_url": "https://example.org/", "password": True}
    await api.app.state.scheduled_changes.apply_due()
    assert await read(api, account, code) == code
    await make_due(database)
    for _ in range(2):
        await api.app.state.scheduled_changes.apply_due()
    changed = await read(api, account, code)
    assert (changed["version"], changed["target_url"], changed["has_password"]) == (2, "https://example.org/", True)
    route = await cached(code)
    assert (route.version, route.target_url) == (2, "https://example.org/")
    assert route.password_hash.startswith("$argon2id$")
    [settled] = await scheduled(api, account, code)
    assert (settled["status"], settled["version"], settled["failure"]) == ("applied", 2, None)
    newest = (await history(api, account, code)).json()["data"][0]
    assert (newest["reason"], newest["changed_by"]) == ("season", f"key:{account.key.split('_')[1]}")
    assert await database.fetchval("SELECT password_hash FROM qr_code_scheduled_changes") is None
    actions = [row[0] for row in await database.fetch("SELECT action FROM audit_log ORDER BY id")]
    assert actions[-2:] == ["qr_code.change_scheduled", "qr_code.scheduled_change_applied"]


async def test_two_workers_apply_each_change_once_and_those_of_a_code_in_their_order(
    api, account, database, settings
):
    codes = [await api.create_code(account) for _ in range(3)]
    for code in codes:
        for number in range(4):
            at = (datetime.now(UTC) + timedelta(hours=number + 1)).isoformat()
            assert (await schedule(api, account, code, at=at, name=f"Name {number}")).status_code == 201
    await make_due(database)
    other = build_app(settings)
    async with other.router.lifespan_context(other):
        workers = [api.app.state.scheduled_changes, other.state.scheduled_changes]
        for _ in range(4):
            await asyncio.gather(*(worker.apply_due() for worker in workers))
    for code in codes:
        assert [each["version"] for each in await scheduled(api, account, code)] == [5, 4, 3, 2]
        names = [each["fields"]["name"] for each in (await history(api, account, code)).json()["data"]]
        assert names == ["Name 3", "Name 2", "Name 1", "Name 0", "Menu"]


async def test_a_change_that_one_worker_is_about_to_apply_is_no_other_workers(api, account, code, database, settings):
    await schedule(api, account, code, password="open sesame")
    await make_due(database)
    other = build_app(settings)
    async with other.router.lifespan_context(other):
        workers = [api.app.state.scheduled_changes, other.state.scheduled_changes]
        async with database.transaction():
            await database.execute("SELECT FROM qr_codes FOR UPDATE")
            tasks = [asyncio.create_task(worker.apply_due()) for worker in workers]
            done, _ = await asyncio.wait(tasks, timeout=5, return_when=asyncio.FIRST_COMPLETED)
            assert len(done) == 1
        await asyncio.gather(*tasks)
    assert (await read(api, account, code))["version"] == 2


async def test_a_change_waits_for_an_earlier_one_of_its_code_that_another_worker_holds(api, account, code, database):
    other = await api.create_code(account)
    for number in range(2):
        at = (datetime.now(UTC) + timedelta(hours=number + 1)).isoformat()
        await schedule(api, account, code, at=at, name=f"Name {number}")
    await schedule(api, account, other, name="Not held up")
    await make_due(database)
    apply_due = api.app.state.scheduled_changes.apply_due
    async with database.transaction():
        await database.execute("SELECT FROM qr_code_scheduled_changes WHERE change->>'name' = 'Name 0' FOR UPDATE")
        await apply_due()
        assert [each["status"] for each in await scheduled(api, account, code)] == ["pending", "pending"]
        assert (await read(api, account, other))["name"] == "Not held up"
    await apply_due()
    assert [each["version"] for each in await scheduled(api, account, code)] == [3, 2]


async def test_what_cannot_be_applied_is_marked_failed_with_its_reason_and_holds_nothing_up(
    api, account, open_api, database
):
    gone, blocked, closed, fine = [await api.create_code(account) for _ in range(4)]
    await schedule(api, account, gone, name="x")
    await schedule(api, account, blocked, target_url="https://evil.example/")
    await schedule(api, account, closed, expires_at="2026-01-02T00:00:00Z")
    await schedule(api, account, fine, name="Applied")
    await api.client.delete(f"/v1/qr-codes/{gone['id']}", headers=account.headers)
    await api.change_code(account, closed, starts_at="2026-01-03T00:00:00Z")
    await make_due(database)
    async with open_api(target_block_hosts=("evil.example",)) as worker:
        await worker.app.state.scheduled_changes.apply_due()
    for code, words in ((gone, "no such QR code"), (blocked, "evil.example is blocked"), (closed, "starts_at")):
        [settled] = await scheduled(api, account, code)
        assert settled["status"] == "failed"
        assert words in settled["failure"]
    assert (await read(api, account, fine))["name"] == "Applied"
    assert await database.fetchval("SELECT count(*) FROM audit_log WHERE action LIKE '%_failed'") == 3


@pytest.mark.parametrize("stored", ['{"redirect_status": 999}', '{"no_such_field": 1}', '{"starts_at": "x"}'])
async def test_a_stored_change_that_makes_no_sense_is_marked_failed_too(api, account, code, database, stored):
    await schedule(api, account, code, name="x")
    await make_due(database)
    await database.execute("UPDATE qr_code_scheduled_changes SET change = $1", stored)
    await api.app.state.scheduled_changes.apply_due()
    [settled] = await scheduled(api, account, code)
    assert (settled["status"], settled["failure"]) == ("failed", "It cannot be applied.")
    assert (await read(api, account, code))["version"] == 1


async def test_a_cancelled_change_never_happens_and_a_settled_one_cannot_be_cancelled(api, account, code, database):
    for change in ({"name": "cancelled"}, {"name": "applied"}):
        await schedule(api, account, code, **change)
    second, first = await scheduled(api, account, code)
    assert {first["change"]["name"], second["change"]["name"]} == {"cancelled", "applied"}
    cancelled, applied = (first, second) if first["change"]["name"] == "cancelled" else (second, first)
    url = f"/v1/qr-codes/{code['id']}/scheduled-changes"
    for _ in range(2):
        answer = await api.client.delete(f"{url}/{cancelled['id']}", headers=account.headers)
        assert answer.json()["status"] == "cancelled"
    await make_due(database)
    await api.app.state.scheduled_changes.apply_due()
    assert (await read(api, account, code))["name"] == "applied"
    problem_of(await api.client.delete(f"{url}/{applied['id']}", headers=account.headers), 409, "change_settled")
    problem_of(await api.client.delete(f"{url}/{code['id']}", headers=account.headers), 404, "not_found")


async def test_a_bad_change_is_refused_when_it_is_scheduled(api, account, code):
    assert bad_names(await schedule(api, account, code, at="2020-01-01T00:00:00Z", name="x")) == {"at"}
    assert bad_names(await schedule(api, account, code, target_url="https://qr.example/r/x")) == {"target_url"}
    assert bad_names(await schedule(api, account, code, status="deleted")) == {"change.status"}
    assert bad_names(await schedule(api, account, code)) == {"change"}
    assert bad_names(await schedule(api, account, code, project_id=account.user_id)) == {"project_id"}
    assert await scheduled(api, account, code) == []


async def test_so_many_changes_may_wait_and_no_more(api, account, code, database):
    await schedule(api, account, code, name="x")
    copies = "id, workspace_id, qr_id, at, change, reason, status, created_by, created_at"
    await database.execute(
        f"INSERT INTO qr_code_scheduled_changes ({copies}) SELECT {copies.replace('id,', 'gen_random_uuid(),', 1)} "
        "FROM qr_code_scheduled_changes, generate_series(1, 49)"
    )
    problem_of(await schedule(api, account, code, name="y"), 409, "too_many_scheduled")

"""QR codes: create, read, list, change, delete; versions; other tenants."""

import asyncio
import re
from datetime import UTC, datetime

import asyncpg
import orjson

from tests.integration.control_api.api_client import TARGET, bad_names, problem_of


async def list_ids(api, account, query=""):
    answer = await api.client.get(f"/v1/qr-codes{query}", headers=account.headers)
    assert answer.status_code == 200, answer.text
    return [code["id"] for code in answer.json()["data"]]


async def test_a_created_code_is_answered_whole(api):
    account = await api.create_account()
    body = {"name": " Menu ", "type": "url", "target_url": "HTTPS://Example.com/a b"}
    answer = await api.client.post("/v1/qr-codes", headers=account.headers, json=body)
    assert answer.status_code == 201
    code = answer.json()
    assert answer.headers["etag"] == '"1"'
    assert answer.headers["location"] == f"/v1/qr-codes/{code['id']}"
    assert code.pop("created_at") == code.pop("updated_at")
    assert len(code["short_code"]) == 7
    assert code == {
        "id": code["id"],
        "workspace_id": account.workspace_id,
        "project_id": None,
        "domain": None,
        "name": "Menu",
        "type": "url",
        "short_code": code["short_code"],
        "short_url": f"https://qr.example/r/{code['short_code']}",
        "target_url": "https://example.com/a%20b",
        "fallback_url": None,
        "status": "active",
        "is_active": True,
        "redirect_status": 302,
        "forward_query": False,
        "rules": [],
        "starts_at": None,
        "expires_at": None,
        "max_scans": None,
        "has_password": False,
        "version": 1,
        "tags": [],
        "design": {},
        "type_data": {},
        "ban_reason": None,
        "ban_note": None,
    }


async def test_a_code_is_got_as_it_was_created(api):
    account = await api.create_account()
    code = await api.create_code(account)
    answer = await api.client.get(f"/v1/qr-codes/{code['id']}", headers=account.headers)
    assert answer.json() == code
    assert answer.headers["etag"] == '"1"'


async def test_a_custom_code_is_folded_and_taken_for_ever(api):
    account, other = await api.create_account(), await api.create_account()
    code = await api.create_code(account, short_code="Menu-7")
    assert code["short_code"] == "menu-7"
    for who in (account, other):
        body = {"name": "x", "target_url": TARGET, "short_code": "MENU-7"}
        problem_of(await api.client.post("/v1/qr-codes", headers=who.headers, json=body), 409, "short_code_taken")
    await api.client.delete(f"/v1/qr-codes/{code['id']}", headers=account.headers)
    body = {"name": "x", "target_url": TARGET, "short_code": "menu-7"}
    problem_of(await api.client.post("/v1/qr-codes", headers=other.headers, json=body), 409, "short_code_taken")


async def test_a_generated_code_that_collides_is_drawn_again(api):
    account = await api.create_account()
    await api.create_code(account, short_code="taken")
    draws = iter(["taken", "taken", "free"])
    api.app.state.code_creation._generate_code = lambda: next(draws)
    assert (await api.create_code(account))["short_code"] == "free"


async def test_a_change_makes_a_new_version_with_its_history(api, database):
    account = await api.create_account()
    code = await api.create_code(account)
    answer = await api.change_code(account, code, name="Carte", target_url="https://example.org/")
    assert answer.status_code == 200
    assert answer.headers["etag"] == '"2"'
    changed = answer.json()
    assert changed.pop("updated_at") > code["updated_at"]
    assert changed == {key: value for key, value in code.items() if key != "updated_at"} | {
        "name": "Carte",
        "target_url": "https://example.org/",
        "version": 2,
    }
    history = await database.fetch("SELECT * FROM qr_code_history ORDER BY version")
    key_id = account.key.split("_")[1]
    assert [(row["version"], row["changed_by"], row["reason"]) for row in history] == [
        (1, f"key:{key_id}", None),
        (2, f"key:{key_id}", None),
    ]
    snapshots = [orjson.loads(row["snapshot"]) for row in history]
    assert [(each["name"], each["target_url"]) for each in snapshots] == [
        ("Menu", TARGET),
        ("Carte", "https://example.org/"),
    ]
    assert "password_hash" not in snapshots[0]


async def test_a_change_that_changes_nothing_makes_no_version(api, database):
    account = await api.create_account()
    code = await api.create_code(account)
    answer = await api.change_code(account, code, name="Menu ", target_url=TARGET, status="active")
    assert answer.json() == code
    assert await database.fetchval("SELECT count(*) FROM qr_code_history") == 1
    assert await database.fetchval("SELECT count(*) FROM pgqueuer") == 1


WAITING = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
IS_A_MEMBERS = re.compile(r"/v1/qr-codes/\{qr_id\}")
BODIES = {
    "rollback": {"version": 1},
    "scheduled-changes": {"at": "2999-01-01T00:00:00Z", "change": {"name": "Mine"}},
    "resolve": {},
}
WRONG = [
    ({}, {"body"}),
    ({"name": None}, {"name"}),
    ({"target_url": "javascript:alert(1)"}, {"target_url"}),
    ({"status": "deleted"}, {"status"}),
    ({"status": "banned"}, {"status"}),
    ({"short_code": "other"}, {"short_code"}),
    ({"name": "x", "version": 7, "workspace_id": "x"}, {"version", "workspace_id"}),
]


async def test_what_is_wrong_with_a_change_is_named(api, subtests):
    account = await api.create_account()
    code = await api.create_code(account)
    for fields, names in WRONG:
        with subtests.test(fields=fields):
            assert bad_names(await api.change_code(account, code, **fields)) == names


async def test_a_code_is_paused_archived_and_resumed(api):
    account = await api.create_account()
    code = await api.create_code(account)
    for version, status in enumerate(["paused", "archived", "active"], 2):
        changed = (await api.change_code(account, code, status=status)).json()
        assert (changed["status"], changed["is_active"], changed["version"]) == (status, status == "active", version)


async def test_the_status_of_a_banned_code_cannot_be_changed_but_its_name_can(api, database):
    account = await api.create_account()
    code = await api.create_code(account)
    await database.execute("UPDATE qr_codes SET status = 'banned', ban_reason = 'abuse'")
    problem_of(await api.change_code(account, code, status="active"), 409, "code_banned")
    assert (await api.change_code(account, code, name="Other")).json()["status"] == "banned"
    assert await list_ids(api, account) == [code["id"]]


async def test_a_stale_if_match_changes_and_deletes_nothing(api):
    account = await api.create_account()
    code = await api.create_code(account)
    assert (await api.change_code(account, code, if_match='"1"', name="Two")).status_code == 200
    for stale in ('"1"', '"3"', "2", 'W/"2"', "x", '"1", "7"'):
        answer = await api.change_code(account, code, if_match=stale, name="Three")
        problem_of(answer, 412, "stale_version")
        assert answer.headers["etag"] == '"2"'
        headers = account.headers | {"If-Match": stale}
        problem_of(await api.client.delete(f"/v1/qr-codes/{code['id']}", headers=headers), 412, "stale_version")
    for fresh in ('"1", "2"', "*"):
        assert (await api.change_code(account, code, if_match=fresh, name=f"Name {fresh}")).status_code == 200


async def test_of_writers_who_saw_the_same_version_one_succeeds(api):
    account = await api.create_account()
    code = await api.create_code(account)
    answers = await asyncio.gather(
        *(api.change_code(account, code, if_match='"1"', name=f"Writer {number}") for number in range(6))
    )
    assert sorted(answer.status_code for answer in answers) == [200] + [412] * 5


async def test_writers_without_if_match_all_succeed_one_version_each(api, database):
    account = await api.create_account()
    code = await api.create_code(account)
    answers = await asyncio.gather(*(api.change_code(account, code, name=f"Writer {number}") for number in range(6)))
    assert sorted(answer.json()["version"] for answer in answers) == [2, 3, 4, 5, 6, 7]
    rows = await database.fetch("SELECT version, snapshot->>'version' AS said FROM qr_code_history ORDER BY version")
    assert [(row["version"], row["said"]) for row in rows] == [(number, str(number)) for number in range(1, 8)]


async def test_a_later_version_is_not_older(api, database, postgres_dsn):
    """A change that waited for another one has the later time, too."""
    account = await api.create_account()
    code = await api.create_code(account)
    rival = await asyncpg.connect(postgres_dsn)
    async with rival.transaction():
        await rival.execute("SELECT FROM qr_codes WHERE id = $1 FOR UPDATE", code["id"])
        change = asyncio.create_task(api.change_code(account, code, name="Later"))
        while not await database.fetchval(WAITING):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        released_at = datetime.now(UTC)
    await rival.close()
    assert datetime.fromisoformat((await change).json()["updated_at"]) >= released_at


async def test_a_deleted_code_is_gone_but_its_row_stays(api, database):
    account = await api.create_account()
    code = await api.create_code(account)
    url = f"/v1/qr-codes/{code['id']}"
    answer = await api.client.delete(url, headers=account.headers)
    assert (answer.status_code, answer.content) == (204, b"")
    problem_of(await api.client.delete(url, headers=account.headers), 404, "not_found")
    problem_of(await api.client.get(url, headers=account.headers), 404, "not_found")
    problem_of(await api.client.get(f"{url}/analytics", headers=account.headers), 404, "not_found")
    problem_of(await api.change_code(account, code, status="active"), 404, "not_found")
    assert await list_ids(api, account) == []
    row = await database.fetchrow("SELECT status, version, deleted_at FROM qr_codes")
    assert (row["status"], row["version"]) == ("deleted", 2)
    assert row["deleted_at"] is not None
    assert await database.fetchval("SELECT count(*) FROM qr_code_history") == 2


async def test_deleted_codes_are_listed_only_when_asked_for(api):
    account = await api.create_account()
    code = await api.create_code(account)
    await api.client.delete(f"/v1/qr-codes/{code['id']}", headers=account.headers)
    assert await list_ids(api, account) == []
    assert await list_ids(api, account, "?status=deleted") == [code["id"]]


async def test_archived_codes_are_listed_only_when_asked_for(api):
    account = await api.create_account()
    active, paused, archived = [await api.create_code(account) for _ in range(3)]
    await api.change_code(account, paused, status="paused")
    await api.change_code(account, archived, status="archived")
    assert await list_ids(api, account) == [paused["id"], active["id"]]
    assert await list_ids(api, account, "?status=paused") == [paused["id"]]
    assert await list_ids(api, account, "?status=archived") == [archived["id"]]


async def test_pages_stay_as_they_are_while_codes_are_created(api):
    account = await api.create_account()
    ids = [(await api.create_code(account))["id"] for _ in range(7)][::-1]
    seen, cursor = [], ""
    while cursor is not None:
        answer = await api.client.get(f"/v1/qr-codes?limit=3{cursor}", headers=account.headers)
        page = answer.json()
        assert len(page["data"]) <= 3
        seen += [code["id"] for code in page["data"]]
        cursor = page["next_cursor"] and f"&cursor={page['next_cursor']}"
        await api.create_code(account)
    assert seen == ids


async def test_codes_of_one_moment_are_each_listed_once(api, database):
    account = await api.create_account()
    ids = {(await api.create_code(account))["id"] for _ in range(5)}
    await database.execute("UPDATE qr_codes SET created_at = '2026-01-01T00:00:00Z'")
    seen, cursor = [], ""
    while cursor is not None:
        page = (await api.client.get(f"/v1/qr-codes?limit=2{cursor}", headers=account.headers)).json()
        seen += [code["id"] for code in page["data"]]
        cursor = page["next_cursor"] and f"&cursor={page['next_cursor']}"
    assert len(seen) == 5
    assert set(seen) == ids


async def test_limits_out_of_bounds_are_invalid(api, subtests):
    account = await api.create_account()
    for limit in ("0", "201", "-1", "x", "", "1.5", "9" * 30):
        with subtests.test(limit=limit):
            answer = await api.client.get(f"/v1/qr-codes?limit={limit}", headers=account.headers)
            assert bad_names(answer) == {"limit"}


async def test_a_cursor_of_nobodys_is_bad(api, subtests):
    account = await api.create_account()
    for cursor in ("", "x", "%00", "%ff", "A" * 33, "f9" + "9" * 30):
        with subtests.test(cursor=cursor):
            answer = await api.client.get(f"/v1/qr-codes?cursor={cursor}", headers=account.headers)
            problem_of(answer, 400, "bad_cursor")


async def test_another_tenants_code_does_not_exist_on_any_route(api):
    owner, stranger = await api.create_account(), await api.create_account()
    code = await api.create_code(owner)
    paths = (await api.client.get("/openapi.json")).json()["paths"]
    routes = [(method, path) for path, methods in paths.items() if IS_A_MEMBERS.match(path) for method in methods]
    assert len(routes) >= 4
    for method, path in routes:
        body = {"json": BODIES.get(path.rpartition("/")[2], {"name": "Mine"})} if method in ("patch", "post") else {}
        url = path.replace("{qr_id}", code["id"]).replace("{change_id}", code["id"])
        answer = await api.client.request(method, url, headers=stranger.headers, **body)
        problem_of(answer, 404, "not_found")
    assert await list_ids(api, stranger) == []
    answer = await api.client.get(f"/v1/qr-codes/{code['id']}", headers=owner.headers)
    assert answer.json() == code

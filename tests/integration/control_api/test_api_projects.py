"""Projects: folders of codes, and what becomes of the codes."""

import asyncio

import asyncpg
import pytest

from scanhop.stores.redis import open_redis
from scanhop.stores.routes import RouteCache
from scanhop.wire.ids import DEFAULT_DOMAIN_ID
from scanhop.wire.route import decode_route
from tests.integration.control_api.api_client import TARGET, bad_names, problem_of

WAITING = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


async def create(api, account, **fields):
    answer = await api.client.post("/v1/projects", headers=account.headers, json={"name": "Spring"} | fields)
    assert answer.status_code == 201, answer.text
    return answer.json()


async def get(api, account, project):
    return await api.client.get(f"/v1/projects/{project['id']}", headers=account.headers)


async def delete(api, account, project, query=""):
    return await api.client.delete(f"/v1/projects/{project['id']}{query}", headers=account.headers)


async def read(api, account, code):
    return (await api.client.get(f"/v1/qr-codes/{code['id']}", headers=account.headers)).json()


async def test_a_project_is_created_read_listed_changed_and_deleted(api, account):
    answer = await api.client.post(
        "/v1/projects", headers=account.headers, json={"name": "Spring", "color": "#0A7D55"}
    )
    project = answer.json()
    assert (answer.status_code, answer.headers["etag"]) == (201, '"1"')
    assert answer.headers["location"] == f"/v1/projects/{project['id']}"
    assert (project["name"], project["color"], project["codes"], project["version"]) == ("Spring", "#0a7d55", 0, 1)
    other = await create(api, account, name="Other")
    page = (await api.client.get("/v1/projects?limit=1", headers=account.headers)).json()
    assert page["data"] == [other]
    page = (
        await api.client.get(f"/v1/projects?limit=1&cursor={page['next_cursor']}", headers=account.headers)
    ).json()
    assert (page["data"], page["next_cursor"]) == ([project], None)
    url = f"/v1/projects/{project['id']}"
    stale = account.headers | {"If-Match": '"2"'}
    problem_of(await api.client.patch(url, headers=stale, json={"name": "x"}), 412, "stale_version")
    changed = (await api.client.patch(url, headers=account.headers, json={"color": None})).json()
    assert (changed["name"], changed["color"], changed["version"]) == ("Spring", None, 2)
    same = await api.client.patch(url, headers=account.headers, json={"name": "Spring"})
    assert same.json() == changed
    problem_of(await api.client.delete(url, headers=account.headers | {"If-Match": '"1"'}), 412, "stale_version")
    assert (await delete(api, account, project)).status_code == 204
    problem_of(await delete(api, account, project), 404, "not_found")
    problem_of(await get(api, account, project), 404, "not_found")


async def test_bad_fields_are_named(api, account):
    for fields, names in (
        ({"name": ""}, {"name"}),
        ({"color": "red"}, {"color"}),
        ({"color": "#12345"}, {"color"}),
        ({"colour": "#123456"}, {"colour"}),
    ):
        body = {"name": "x"} | fields
        assert bad_names(await api.client.post("/v1/projects", headers=account.headers, json=body)) == names


async def test_codes_get_into_a_project_by_creation_change_and_in_bulk_and_are_counted(api, account, redis_url):
    project = await create(api, account)
    a = await api.create_code(account, project_id=project["id"])
    b, c = [await api.create_code(account) for _ in range(2)]
    assert (await api.change_code(account, b, project_id=project["id"])).json()["version"] == 2
    url = f"/v1/projects/{project['id']}/codes"
    body = {"qr_ids": [a["id"], c["id"], c["id"], account.user_id]}
    answer = await api.client.post(url, headers=account.headers, json=body)
    assert answer.json() == {"moved": [a["id"], c["id"]], "not_found": [account.user_id]}
    assert (await get(api, account, project)).json()["codes"] == 3
    assert [(await read(api, account, code))["version"] for code in (a, b, c)] == [1, 2, 2]
    assert (await api.change_code(account, a, project_id=None)).json()["project_id"] is None
    await api.client.delete(f"/v1/qr-codes/{b['id']}", headers=account.headers)
    assert (await get(api, account, project)).json()["codes"] == 1
    redis = open_redis(redis_url, timeout_s=1)
    keys = [(DEFAULT_DOMAIN_ID.bytes, code["short_code"]) for code in (a, c)]
    routes = [decode_route(held) for held in (await RouteCache(redis).list_routes(keys)).routes]
    await redis.aclose()
    assert [(route.version, route.project_id.hex()) for route in routes] == [
        (2, "0" * 32),
        (2, project["id"].replace("-", "")),
    ]


async def test_another_tenants_project_takes_no_codes(api, account, code):
    stranger = await api.create_account()
    theirs = await create(api, stranger)
    body = {"name": "x", "target_url": TARGET, "project_id": theirs["id"]}
    assert bad_names(await api.client.post("/v1/qr-codes", headers=account.headers, json=body)) == {"project_id"}
    assert bad_names(await api.change_code(account, code, project_id=theirs["id"])) == {"project_id"}
    url = f"/v1/projects/{theirs['id']}"
    for method, path, sent in (
        ("GET", url, None),
        ("PATCH", url, {"name": "Mine"}),
        ("DELETE", url, None),
        ("POST", f"{url}/codes", {"qr_ids": [code["id"]]}),
    ):
        problem_of(await api.client.request(method, path, headers=account.headers, json=sent), 404, "not_found")
    mine = await create(api, account)
    assert bad_names(await delete(api, account, mine, f"?move_to={theirs['id']}")) == {"move_to"}


@pytest.mark.parametrize("how", ["keep", "archive", "move_to"])
async def test_a_deletion_says_what_becomes_of_the_codes(api, account, database, how):
    project, other = await create(api, account), await create(api, account, name="Other")
    active = await api.create_code(account, project_id=project["id"])
    paused = await api.create_code(account, project_id=project["id"])
    gone = await api.create_code(account, project_id=project["id"])
    await api.change_code(account, paused, status="paused")
    await api.client.delete(f"/v1/qr-codes/{gone['id']}", headers=account.headers)
    query = {"keep": "", "archive": "?codes=archive", "move_to": f"?move_to={other['id']}"}[how]
    assert (await delete(api, account, project, query)).status_code == 204
    states = [(await read(api, account, code)) for code in (active, paused)]
    assert [code["project_id"] for code in states] == [other["id"] if how == "move_to" else None] * 2
    assert [code["status"] for code in states] == (["archived"] * 2 if how == "archive" else ["active", "paused"])
    assert [code["version"] for code in states] == [2, 3]
    row = await database.fetchrow("SELECT status, version FROM qr_codes WHERE id = $1", gone["id"])
    assert tuple(row) == ("deleted", 3)
    audited = await database.fetchrow("SELECT * FROM audit_log WHERE action = 'project.deleted'")
    assert audited["object_id"] == project["id"]


async def test_ways_out_that_exclude_each_other_are_refused(api, account):
    project = await create(api, account)
    for query in (f"?codes=archive&move_to={project['id']}", f"?move_to={project['id']}"):
        assert bad_names(await delete(api, account, project, query)) == {"move_to"}
    assert bad_names(await delete(api, account, project, "?codes=burn")) == {"codes"}


@pytest.mark.parametrize(
    ("change", "stays"),
    [("project_id = '{other}'", ("active", True)), ("status = 'deleted'", ("deleted", False))],
    ids=["moved", "deleted"],
)
async def test_a_code_that_changes_while_its_project_is_deleted_stays_as_it_was_changed(
    api, account, database, postgres_dsn, change, stays
):
    """Somebody else was quicker to lock the code: the deletion waits for them."""
    project, other = await create(api, account), await create(api, account, name="Other")
    code = await api.create_code(account, project_id=project["id"])
    rival = await asyncpg.connect(postgres_dsn)
    async with rival.transaction():
        await rival.execute(f"UPDATE qr_codes SET {change.format(other=other['id'])} WHERE id = $1", code["id"])
        deletion = asyncio.create_task(delete(api, account, project, "?codes=archive"))
        while not await database.fetchval(WAITING):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    await rival.close()
    assert (await deletion).status_code == 204
    row = await database.fetchrow("SELECT status, project_id IS NOT NULL FROM qr_codes WHERE id = $1", code["id"])
    assert tuple(row) == stays


async def test_a_project_that_is_deleted_while_codes_are_put_into_it_leaves_no_code_behind(api, account, database):
    for _ in range(3):
        project = await create(api, account)
        codes = [await api.create_code(account) for _ in range(4)]
        inside = [await api.create_code(account, project_id=project["id"]) for _ in range(2)]
        into = {"project_id": project["id"]}
        answers = await asyncio.gather(
            *(api.change_code(account, code, **into) for code in codes[:2]),
            delete(api, account, project),
            *(api.change_code(account, code, **into) for code in [*codes[2:], *inside]),
        )
        assert answers[2].status_code == 204
        assert {answer.status_code for answer in answers} <= {200, 204, 422}
        assert await database.fetchval("SELECT count(*) FROM qr_codes WHERE project_id IS NOT NULL") == 0

"""Keys: who gets in where, before anything else is looked at."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.integration.control_api.api_client import ADMIN, ADMIN_KEY, problem_of
from tests.integration.control_api.app_routes import routes_of

ID = "01a1fbb3-0000-7000-8000-000000000000"


def urls(api, *, admin):
    """Method and path of every route of one kind, with ids of nothing."""
    return [
        (route.method, route.url(**dict.fromkeys(route.parameters, ID)))
        for route in routes_of(api.app)
        if not route.is_public and route.is_admin is admin
    ]


def wrong_keys(key):
    yield {}
    for wrong in (key[:-1], key + "a", key.upper(), key.replace("sh_", ""), "x", "sh_" + "a" * 16 + "_" + "a" * 32):
        yield {"Authorization": f"Bearer {wrong}"}
        yield {"X-API-Key": wrong}
    last = "a" if key[-1] != "a" else "b"
    yield {"Authorization": f"Bearer {key[:-1]}{last}"}
    yield {"Authorization": f"Basic {key}"}
    yield {"Authorization": key}
    yield {"Authorization": "Bearer "}


async def test_there_are_routes_of_both_kinds(api):
    assert ("GET", f"/v1/qr-codes/{ID}") in urls(api, admin=False)
    assert ("GET", f"/v1/admin/users/{ID}") in urls(api, admin=True)


async def test_a_wrong_key_is_unauthenticated_everywhere_whatever_else_is_wrong(api):
    key = (await api.create_account()).key
    for method, path in urls(api, admin=False) + urls(api, admin=True):
        for headers in wrong_keys(key):
            answer = await api.client.request(method, f"{path}?limit=x&cursor=x", headers=headers, content=b"{")
            problem_of(answer, 401, "unauthenticated")
            assert answer.headers["www-authenticate"] == "Bearer"


async def test_both_headers_carry_a_key_in_any_letter_case_of_the_scheme(api):
    key = (await api.create_account()).key
    for headers in ({"authorization": f"bearer  {key}"}, {"Authorization": f"BEARER {key}"}, {"X-API-Key": key}):
        assert (await api.client.get("/v1/qr-codes", headers=headers)).status_code == 200
    both = {"Authorization": "Basic abc", "X-API-Key": key}
    assert (await api.client.get("/v1/qr-codes", headers=both)).status_code == 200


async def test_a_workspaces_key_is_forbidden_on_admin_routes(api):
    account = await api.create_account()
    for method, path in urls(api, admin=True):
        answer = await api.client.request(method, path, headers=account.headers, content=b"{")
        problem_of(answer, 403, "admin_key_needed")


async def test_the_admin_key_is_forbidden_inside_workspaces(api):
    for method, path in urls(api, admin=False):
        answer = await api.client.request(method, path, headers=ADMIN, content=b"{")
        problem_of(answer, 403, "workspace_key_needed")


async def test_without_an_admin_key_nobody_is_admin(open_api):
    async with open_api(admin_key=None) as api:
        for key in ("", "None", ADMIN_KEY):
            answer = await api.client.get("/v1/admin/users", headers={"X-API-Key": key})
            problem_of(answer, 401, "unauthenticated")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE api_keys SET revoked_at = now()",
        "UPDATE api_keys SET expires_at = now() - interval '1 second'",
        "UPDATE users SET deleted_at = now()",
    ],
)
async def test_a_key_that_ended_is_unauthenticated_and_invalid(api, database, statement):
    account = await api.create_account()
    await database.execute(statement)
    problem_of(await api.client.get("/v1/qr-codes", headers=account.headers), 401, "unauthenticated")
    answer = await api.client.post("/v1/public/verify-key", json={"key": account.key})
    assert answer.json()["valid"] is False


async def test_a_key_may_do_what_its_scopes_say(api, database):
    account = await api.create_account()
    code = await api.create_code(account)
    await database.execute("UPDATE api_keys SET scopes = '{qr-codes:read}'")
    assert (await api.client.get("/v1/qr-codes", headers=account.headers)).status_code == 200
    answer = await api.client.post("/v1/qr-codes", headers=account.headers, content=b"{")
    assert "qr-codes:write" in problem_of(answer, 403, "missing_scope")["detail"]
    problem_of(await api.change_code(account, code, name="New"), 403, "missing_scope")


async def test_only_the_hash_of_a_key_is_stored(api, database):
    account = await api.create_account()
    secret = account.key.rpartition("_")[2]
    for table in ("users", "workspaces", "memberships", "api_keys"):
        rows = await database.fetch(f"SELECT t::text FROM {table} t")
        assert rows
        assert all(secret not in row["t"] for row in rows)


async def test_the_use_of_a_key_is_noted_once_a_minute(open_api, database):
    async with open_api() as api:
        account = await api.create_account()
        await api.client.get("/v1/qr-codes", headers=account.headers)
        await api.app.state.authenticator.close()
        first = await database.fetchval("SELECT last_used_at FROM api_keys")
        assert datetime.now(UTC) - first < timedelta(seconds=10)
        await api.client.get("/v1/qr-codes", headers=account.headers)
        await api.app.state.authenticator.close()
        assert await database.fetchval("SELECT last_used_at FROM api_keys") == first
        await database.execute("UPDATE api_keys SET last_used_at = now() - interval '61 seconds'")
        await api.client.get("/v1/qr-codes", headers=account.headers)
    assert await database.fetchval("SELECT last_used_at FROM api_keys") > first


async def test_a_verified_key_tells_what_it_opens(api):
    account = await api.create_account()
    answer = await api.client.post("/v1/public/verify-key", json={"key": account.key})
    assert answer.json() == {
        "valid": True,
        "workspace_id": account.workspace_id,
        "user_id": account.user_id,
        "scopes": ["*"],
        "expires_at": None,
    }


async def test_any_other_key_is_invalid_and_tells_nothing(api):
    account = await api.create_account()
    for key in ("", "x", "\x00", account.key + "a", account.key[:-1], "sh_" + "a" * 16 + "_" + "a" * 32, ADMIN_KEY):
        answer = await api.client.post("/v1/public/verify-key", json={"key": key})
        assert answer.status_code == 200
        assert answer.json() == dict.fromkeys(("workspace_id", "user_id", "scopes", "expires_at")) | {"valid": False}

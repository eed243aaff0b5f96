"""Users: created whole or not at all, listed, got."""

import asyncio

from tests.integration.control_api.api_client import ADMIN, bad_names, problem_of


def create(api, **fields):
    return api.client.post("/v1/admin/users", headers=ADMIN, json=fields)


async def test_a_new_user_has_a_workspace_and_a_key_that_opens_it(api, database):
    answer = await create(api, email="Ada@Example.com", name="  Ada  ")
    assert answer.status_code == 201
    body = answer.json()
    assert (body["user"]["email"], body["user"]["name"], body["user"]["role"]) == ("Ada@Example.com", "Ada", "user")
    assert (body["workspace"]["name"], body["workspace"]["personal"], body["workspace"]["timezone"]) == (
        "Ada",
        True,
        "UTC",
    )
    assert body["user"]["created_at"].endswith("Z")
    member = await database.fetchrow("SELECT workspace_id::text, user_id::text, role FROM memberships")
    assert tuple(member) == (body["workspace"]["id"], body["user"]["id"], "owner")
    assert await database.fetchval("SELECT name FROM api_keys") == "default"
    mine = await api.client.get("/v1/qr-codes", headers={"X-API-Key": body["api_key"]})
    assert mine.json() == {"data": [], "next_cursor": None}


async def test_a_user_without_a_name_gives_the_workspace_the_name_of_the_address(api):
    body = (await create(api, email="grace@example.com", role="admin")).json()
    assert (body["user"]["name"], body["user"]["role"], body["workspace"]["name"]) == (None, "admin", "grace")


async def test_an_address_is_taken_whatever_its_letter_case_and_leaves_nothing_behind(api, database):
    await create(api, email="ada@example.com")
    problem_of(await create(api, email="ADA@example.COM"), 409, "email_taken")
    for table in ("users", "workspaces", "memberships", "api_keys"):
        assert await database.fetchval(f"SELECT count(*) FROM {table}") == 1


async def test_of_many_at_once_with_one_address_one_is_created(api, database):
    answers = await asyncio.gather(*(create(api, email="ada@example.com") for _ in range(8)))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 7
    assert await database.fetchval("SELECT count(*) FROM workspaces") == 1


WRONG = [
    ({}, {"email"}),
    ({"email": "nobody"}, {"email"}),
    ({"email": "a\x00@b.test"}, {"email"}),
    ({"email": "a@b.test", "name": ""}, {"name"}),
    ({"email": "a@b.test", "name": "a\nb"}, {"name"}),
    ({"email": "a@b.test", "role": "owner"}, {"role"}),
    ({"email": "a@b.test", "password": "x"}, {"password"}),
]


async def test_what_is_wrong_with_a_user_is_named(api, subtests):
    for fields, names in WRONG:
        with subtests.test(fields=fields):
            assert bad_names(await create(api, **fields)) == names


async def test_users_are_listed_newest_first_and_got_by_id(api):
    accounts = [await api.create_account() for _ in range(3)]
    listed = (await api.client.get("/v1/admin/users", headers=ADMIN)).json()
    assert [user["id"] for user in listed["data"]] == [account.user_id for account in reversed(accounts)]
    got = await api.client.get(f"/v1/admin/users/{accounts[0].user_id}", headers=ADMIN)
    assert got.json() == listed["data"][-1]


async def test_pages_of_users_follow_their_cursor(api):
    ids = [(await api.create_account()).user_id for _ in range(5)]
    seen, cursor = [], ""
    while cursor is not None:
        page = (await api.client.get(f"/v1/admin/users?limit=2{cursor}", headers=ADMIN)).json()
        seen += [user["id"] for user in page["data"]]
        cursor = page["next_cursor"] and f"&cursor={page['next_cursor']}"
    assert seen == ids[::-1]


async def test_an_unknown_or_deleted_user_is_not_found(api, database):
    account = await api.create_account()
    await database.execute("UPDATE users SET deleted_at = now()")
    for user_id in (account.user_id, account.workspace_id, "x"):
        problem_of(await api.client.get(f"/v1/admin/users/{user_id}", headers=ADMIN), 404, "not_found")
    assert (await api.client.get("/v1/admin/users", headers=ADMIN)).json()["data"] == []

"""Keys that members make, and what a platform admin does with users and their keys."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.integration.control_api.api_client import ADMIN, bad_names, problem_of
from tests.integration.control_api.people import add_member, create_workspace, register


async def create_key(api, headers, **fields):
    return await api.client.post("/v1/api-keys", headers=headers, json={"name": "A key"} | fields)


async def made_key(api, headers, **fields):
    answer = await create_key(api, headers, **fields)
    assert answer.status_code == 201, answer.text
    return answer.json()


def by(key):
    return {"X-API-Key": key["api_key"]}


async def test_a_key_is_shown_once_and_does_what_its_scopes_say(api):
    account = await api.create_account()
    key = await made_key(api, account.headers, scopes=["qr-codes:read"])
    assert key["scopes"] == ["qr-codes:read"]
    assert (await api.client.get("/v1/qr-codes", headers=by(key))).status_code == 200
    problem_of(await api.client.post("/v1/qr-codes", headers=by(key), content=b"{"), 403, "missing_scope")
    listed = (await api.client.get("/v1/api-keys", headers=account.headers)).json()
    assert [each["name"] for each in listed["data"]] == ["A key", "default"]
    assert all("api_key" not in each and "secret_hash" not in each for each in listed["data"])


async def test_keys_are_listed_page_by_page(api):
    account = await api.create_account()
    ids = [(await made_key(api, account.headers, name=f"k{n}"))["id"] for n in range(4)]
    seen, cursor = [], ""
    while cursor is not None:
        page = (await api.client.get(f"/v1/api-keys?limit=2{cursor}", headers=account.headers)).json()
        seen += [each["id"] for each in page["data"]]
        cursor = page["next_cursor"] and f"&cursor={page['next_cursor']}"
    assert seen[:-1] == ids[::-1]
    assert len(seen) == 5


async def test_a_key_makes_no_key_that_may_more_or_lasts_longer(api):
    account = await api.create_account()
    ends = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    maker = await made_key(api, account.headers, scopes=["api-keys:write", "qr-codes:read"], expires_at=ends)
    for scopes in (["*"], ["qr-codes:write"], ["qr-codes:read", "domains:read"]):
        problem_of(await create_key(api, by(maker), scopes=scopes), 403, "missing_scope")
    made = await made_key(api, by(maker))
    assert made["scopes"] == ["api-keys:write", "qr-codes:read"]
    assert made["expires_at"] == maker["expires_at"]
    later = (datetime.now(UTC) + timedelta(days=9)).isoformat()
    assert (await made_key(api, by(maker), expires_at=later))["expires_at"] == maker["expires_at"]


async def test_a_members_key_may_no_more_than_the_member(api, database):
    owner, viewer = await register(api, "owner@example.com"), await register(api, "viewer@example.com")
    team = await create_workspace(api, owner)
    await add_member(database, team, viewer, "viewer")
    problem_of(await create_key(api, viewer.within(team), scopes=["qr-codes:write"]), 403, "missing_scope")
    key = await made_key(api, viewer.within(team))
    problem_of(await api.client.post("/v1/qr-codes", headers=by(key), content=b"{"), 403, "missing_scope")


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({"name": ""}, {"name"}),
        ({"scopes": []}, {"scopes"}),
        ({"scopes": ["everything"]}, {"scopes"}),
        ({"expires_at": "2020-01-01T00:00:00Z"}, {"expires_at"}),
        ({"expires_at": "tomorrow"}, {"expires_at"}),
        ({"workspace_id": "x"}, {"workspace_id"}),
    ],
)
async def test_what_is_wrong_with_a_key_is_named(api, fields, names):
    account = await api.create_account()
    assert bad_names(await create_key(api, account.headers, **fields)) == names


async def test_a_revoked_key_opens_nothing_at_once_and_is_revoked_once(api):
    account = await api.create_account()
    key = await made_key(api, account.headers)
    url = f"/v1/api-keys/{key['id']}"
    assert (await api.client.delete(url, headers=account.headers)).status_code == 204
    problem_of(await api.client.get("/v1/qr-codes", headers=by(key)), 401, "unauthenticated")
    problem_of(await api.client.delete(url, headers=account.headers), 404, "not_found")
    problem_of(await api.client.delete("/v1/api-keys/x", headers=account.headers), 404, "not_found")
    names = [each["name"] for each in (await api.client.get("/v1/api-keys", headers=account.headers)).json()["data"]]
    assert names == ["default"]


async def regenerate(api, headers, key):
    return await api.client.post(f"/v1/api-keys/{key['id']}/regenerate", headers=headers)


async def test_a_regenerated_key_replaces_the_old_one_at_once(api):
    account = await api.create_account()
    old = await made_key(api, account.headers, name="till", scopes=["qr-codes:read"])
    answer = await regenerate(api, account.headers, old)
    assert answer.status_code == 201
    new = answer.json()
    assert (new["name"], new["scopes"], new["expires_at"]) == ("till", ["qr-codes:read"], None)
    problem_of(await api.client.get("/v1/qr-codes", headers=by(old)), 401, "unauthenticated")
    assert (await api.client.get("/v1/qr-codes", headers=by(new))).status_code == 200
    problem_of(await regenerate(api, account.headers, old), 404, "not_found")
    listed = (await api.client.get("/v1/api-keys", headers=account.headers)).json()["data"]
    assert [each["id"] for each in listed if each["name"] == "till"] == [new["id"]]


async def test_a_regenerated_key_lasts_as_long_anew_and_no_longer_than_the_key_that_asks(api, database):
    account = await api.create_account()
    ends = datetime.now(UTC) + timedelta(hours=2)
    key = await made_key(api, account.headers, scopes=["*"], expires_at=ends.isoformat())
    await database.execute("UPDATE api_keys SET created_at = created_at - interval '1 hour' WHERE id = $1", key["id"])
    itself = (await regenerate(api, by(key), key)).json()
    assert itself["expires_at"] == key["expires_at"]
    past = "UPDATE api_keys SET created_at = now() - interval '3 days', expires_at = now() - interval '2 days'"
    await database.execute(past + " WHERE id = $1", itself["id"])
    new = (await regenerate(api, account.headers, itself)).json()
    lasts = datetime.fromisoformat(new["expires_at"]) - datetime.fromisoformat(new["created_at"])
    assert lasts == timedelta(days=1)


async def test_nobody_regenerates_what_they_could_not_make(api, database):
    owner, editor = await register(api, "owner@example.com"), await register(api, "editor@example.com")
    team = await create_workspace(api, owner)
    await add_member(database, team, editor, "editor")
    editors = await made_key(api, editor.within(team))
    problem_of(await regenerate(api, owner.within(team), editors), 404, "not_found")
    narrow = await made_key(api, editor.within(team), scopes=["api-keys:write"])
    problem_of(await regenerate(api, by(narrow), editors), 403, "missing_scope")
    assert (await api.client.get("/v1/qr-codes", headers=by(editors))).status_code == 200


async def test_members_see_and_revoke_their_own_keys_and_managers_everybodys(api, database):
    owner, editor = await register(api, "owner@example.com"), await register(api, "editor@example.com")
    team = await create_workspace(api, owner)
    await add_member(database, team, editor, "editor")
    owners = await made_key(api, owner.within(team), name="owner's")
    editors = await made_key(api, editor.within(team), name="editor's")

    async def names(person):
        listed = await api.client.get("/v1/api-keys", headers=person.within(team))
        return [each["name"] for each in listed.json()["data"]]

    assert await names(owner) == ["editor's", "owner's"]
    assert await names(editor) == ["editor's"]
    answer = await api.client.delete(f"/v1/api-keys/{owners['id']}", headers=editor.within(team))
    problem_of(answer, 404, "not_found")
    answer = await api.client.delete(f"/v1/api-keys/{editors['id']}", headers=owner.within(team))
    assert answer.status_code == 204


async def test_a_key_that_was_used_says_when(api):
    account = await api.create_account()
    key = await made_key(api, account.headers)
    await api.client.get("/v1/qr-codes", headers=by(key))
    await api.app.state.authenticator.close()
    listed = (await api.client.get("/v1/api-keys", headers=account.headers)).json()["data"]
    assert listed[0]["last_used_at"] is not None


async def test_the_default_key_is_regenerated_and_the_others_stay(api):
    account = await api.create_account()
    other = await made_key(api, account.headers)
    url = f"/v1/admin/users/{account.user_id}/regenerate-key"
    answer = await api.client.post(url, headers=ADMIN)
    assert answer.status_code == 200
    problem_of(await api.client.get("/v1/qr-codes", headers=account.headers), 401, "unauthenticated")
    for key in (answer.json(), other):
        assert (await api.client.get("/v1/qr-codes", headers=by(key))).status_code == 200
    problem_of(
        await api.client.post(url.replace(account.user_id, account.workspace_id), headers=ADMIN), 404, "not_found"
    )


async def test_a_user_is_changed_by_an_admin(api, database):
    account, other = await api.create_account(), await api.create_account()
    url = f"/v1/admin/users/{account.user_id}"
    changed = await api.client.patch(url, headers=ADMIN, json={"email": "new@example.com", "role": "admin"})
    assert (changed.json()["email"], changed.json()["role"]) == ("new@example.com", "admin")
    assert (await api.client.get(url, headers=ADMIN)).json() == changed.json()
    taken = {"email": "NEW@example.com"}
    problem_of(
        await api.client.patch(f"/v1/admin/users/{other.user_id}", headers=ADMIN, json=taken), 409, "email_taken"
    )
    assert bad_names(await api.client.patch(url, headers=ADMIN, json={"role": "owner"})) == {"role"}
    again = await api.client.patch(url, headers=ADMIN, json={"role": "admin"})
    assert again.json()["updated_at"] == changed.json()["updated_at"]


async def test_an_admin_who_is_no_longer_one_is_out_at_once(api):
    ada = await register(api, "ada@example.com")
    url = f"/v1/admin/users/{ada.user_id}"
    await api.client.patch(url, headers=ADMIN, json={"role": "admin"})
    assert (await api.client.get("/v1/admin/users", headers=ada.headers)).status_code == 200
    made = await api.client.post("/v1/admin/users", headers=ada.headers, json={"email": "x@example.com"})
    assert made.status_code == 201
    await api.client.patch(url, headers=ADMIN, json={"role": "user"})
    problem_of(await api.client.get("/v1/admin/users", headers=ada.headers), 403, "admin_key_needed")


async def test_a_deleted_user_is_anonymous_their_address_free_and_their_codes_redirect(api, database):
    ada = await register(api, "ada@example.com", name="Ada Lovelace")
    key = await made_key(api, ada.headers)
    host = await register(api, "host@example.com")
    invited = {"email": "ADA@example.com", "role": "viewer"}
    url = f"/v1/workspaces/{await create_workspace(api, host)}/invitations"
    assert (await api.client.post(url, headers=host.headers, json=invited)).status_code == 201
    body = {"name": "Menu", "target_url": "https://example.com/"}
    code = (await api.client.post("/v1/qr-codes", headers=ada.headers, json=body)).json()
    url = f"/v1/admin/users/{ada.user_id}"
    assert (await api.client.delete(url, headers=ADMIN)).status_code == 204
    problem_of(await api.client.delete(url, headers=ADMIN), 404, "not_found")
    problem_of(await api.client.get("/v1/qr-codes", headers=by(key)), 401, "unauthenticated")
    left = await database.fetch("SELECT user_id::text FROM memberships")
    assert {row["user_id"] for row in left} == {host.user_id}
    for table in ("users", "workspaces", "sessions", "api_keys", "audit_log", "password_resets", "invitations"):
        rows = str(await database.fetch(f"SELECT t::text FROM {table} t")).lower()
        assert "lovelace" not in rows
        assert "ada@example.com" not in rows
    status = await database.fetchval("SELECT status FROM edge_routes_v1 WHERE qr_id = $1", code["id"])
    assert status == "active"
    again = await register(api, "ada@example.com")
    assert again.user_id != ada.user_id
    assert (await api.client.get("/v1/qr-codes", headers=again.headers)).json()["data"] == []

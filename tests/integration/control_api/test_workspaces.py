"""Workspaces, their members and invitations."""

import asyncio
from datetime import timedelta

import pytest

from control_api.identity import invitations
from tests.integration.control_api.api_client import ADMIN, bad_names, problem_of
from tests.integration.control_api.people import add_member, create_workspace, register


@pytest.fixture
async def ada(api):
    return await register(api, "ada@example.com")


@pytest.fixture
async def grace(api):
    return await register(api, "grace@example.com")


@pytest.fixture
async def team(api, ada):
    return await create_workspace(api, ada)


def members_url(team, person=None):
    return f"/v1/workspaces/{team}/members" + (f"/{person.user_id}" if person else "")


async def set_role(api, by, team, person, role):
    return await api.client.patch(members_url(team, person), headers=by.headers, json={"role": role})


async def roles(database, team):
    rows = await database.fetch("SELECT role FROM memberships WHERE workspace_id = $1 ORDER BY role", team)
    return [row["role"] for row in rows]


async def test_the_own_workspaces_are_listed_newest_first_page_by_page_with_the_role(api, database, ada, grace, team):
    await add_member(database, team, grace, "viewer")
    listed = (await api.client.get("/v1/workspaces", headers=ada.headers)).json()
    assert [(each["id"], each["role"], each["personal"]) for each in listed["data"]] == [
        (team, "owner", False),
        (ada.workspace_id, "owner", True),
    ]
    first = (await api.client.get("/v1/workspaces?limit=1", headers=grace.headers)).json()
    assert (first["data"][0]["id"], first["data"][0]["role"]) == (team, "viewer")
    url = f"/v1/workspaces?limit=1&cursor={first['next_cursor']}"
    second = (await api.client.get(url, headers=grace.headers)).json()
    assert [each["id"] for each in second["data"]] == [grace.workspace_id]
    assert second["next_cursor"] is None


async def test_a_key_knows_of_its_own_workspace_alone(api, ada, team):
    made = await api.client.post("/v1/api-keys", headers=ada.within(team), json={"name": "k"})
    headers = {"X-API-Key": made.json()["api_key"]}
    listed = (await api.client.get("/v1/workspaces", headers=headers)).json()["data"]
    assert [each["id"] for each in listed] == [team]
    problem_of(await api.client.get(f"/v1/workspaces/{ada.workspace_id}", headers=headers), 404, "not_found")
    elsewhere = headers | {"Scanhop-Workspace": ada.workspace_id}
    problem_of(await api.client.get("/v1/qr-codes", headers=elsewhere), 404, "not_found")


async def test_the_header_says_in_which_workspace_and_without_it_it_is_the_personal_one(api, ada, team):
    body = {"name": "Menu", "target_url": "https://example.com/"}
    made = await api.client.post("/v1/qr-codes", headers=ada.within(team), json=body)
    url = f"/v1/qr-codes/{made.json()['id']}"
    assert (await api.client.get(url, headers=ada.within(team))).status_code == 200
    problem_of(await api.client.get(url, headers=ada.headers), 404, "not_found")
    problem_of(await api.client.get(url, headers=ada.within(ada.workspace_id)), 404, "not_found")


async def test_a_workspace_one_is_not_in_does_not_exist(api, grace, team):
    for workspace_id in (team, "x", "01a1fbb3-0000-7000-8000-000000000000"):
        problem_of(await api.client.get("/v1/qr-codes", headers=grace.within(workspace_id)), 404, "not_found")
        problem_of(await api.client.get(f"/v1/workspaces/{workspace_id}", headers=grace.headers), 404, "not_found")


async def test_name_and_time_zone_are_changed_and_checked(api, ada, team):
    url = f"/v1/workspaces/{team}"
    changed = await api.client.patch(url, headers=ada.headers, json={"timezone": "Europe/Berlin"})
    assert (changed.json()["name"], changed.json()["timezone"]) == ("Team", "Europe/Berlin")
    assert (await api.client.get(url, headers=ada.headers)).json() == changed.json()
    for wrong in ({"timezone": "Mars/Phobos"}, {"timezone": "../etc/passwd"}, {"timezone": None}):
        assert bad_names(await api.client.patch(url, headers=ada.headers, json=wrong)) == {"timezone"}
    assert bad_names(await api.client.patch(url, headers=ada.headers, json={})) == {"body"}


async def test_a_workspace_with_a_code_is_not_deleted_and_the_code_stays(api, database, ada, team):
    body = {"name": "Menu", "target_url": "https://example.com/"}
    code = (await api.client.post("/v1/qr-codes", headers=ada.within(team), json=body)).json()
    url = f"/v1/workspaces/{team}"
    problem_of(await api.client.delete(url, headers=ada.headers), 409, "workspace_in_use")
    assert (await api.client.get(f"/v1/qr-codes/{code['id']}", headers=ada.within(team))).status_code == 200
    await api.client.delete(f"/v1/qr-codes/{code['id']}", headers=ada.within(team))
    key = (await api.client.post("/v1/api-keys", headers=ada.within(team), json={"name": "k"})).json()["api_key"]
    assert (await api.client.delete(url, headers=ada.headers)).status_code == 204
    problem_of(await api.client.get(url, headers=ada.headers), 404, "not_found")
    problem_of(await api.client.get("/v1/qr-codes", headers={"X-API-Key": key}), 401, "unauthenticated")
    taken = body | {"short_code": code["short_code"]}
    problem_of(await api.client.post("/v1/qr-codes", headers=ada.headers, json=taken), 409, "short_code_taken")


async def test_a_workspace_with_a_domain_is_not_deleted(api, ada, team):
    await api.client.post("/v1/domains", headers=ada.within(team), json={"host": "qr.example.org"})
    problem_of(await api.client.delete(f"/v1/workspaces/{team}", headers=ada.headers), 409, "workspace_in_use")


async def test_a_personal_workspace_is_neither_deleted_nor_left(api, database, ada, grace):
    url = f"/v1/workspaces/{ada.workspace_id}"
    problem_of(await api.client.delete(url, headers=ada.headers), 409, "personal_workspace")
    await add_member(database, ada.workspace_id, grace, "owner")
    problem_of(await api.client.delete(f"{url}/membership", headers=ada.headers), 409, "personal_workspace")
    problem_of(await set_role(api, grace, ada.workspace_id, ada, "viewer"), 409, "personal_workspace")
    removed = await api.client.delete(members_url(ada.workspace_id, ada), headers=grace.headers)
    problem_of(removed, 409, "personal_workspace")


async def test_members_are_listed_changed_and_removed_with_their_keys(api, database, ada, grace, team):
    await add_member(database, team, grace, "editor")
    listed = (await api.client.get(members_url(team), headers=grace.headers)).json()["data"]
    assert {(each["email"], each["role"]) for each in listed} == {
        ("ada@example.com", "owner"),
        ("grace@example.com", "editor"),
    }
    key = (await api.client.post("/v1/api-keys", headers=grace.within(team), json={"name": "k"})).json()["api_key"]
    headers = {"X-API-Key": key}
    assert (await set_role(api, ada, team, grace, "viewer")).json()["role"] == "viewer"
    problem_of(await api.client.post("/v1/qr-codes", headers=headers, content=b"{"), 403, "missing_scope")
    assert (await api.client.delete(members_url(team, grace), headers=ada.headers)).status_code == 204
    problem_of(await api.client.get("/v1/qr-codes", headers=headers), 401, "unauthenticated")
    problem_of(await api.client.get("/v1/qr-codes", headers=grace.within(team)), 404, "not_found")
    await add_member(database, team, grace, "editor")
    problem_of(await api.client.get("/v1/qr-codes", headers=headers), 401, "unauthenticated")


async def test_a_member_leaves_whatever_their_role(api, database, grace, team):
    await add_member(database, team, grace, "billing")
    assert (await api.client.delete(f"/v1/workspaces/{team}/membership", headers=grace.headers)).status_code == 204
    assert await roles(database, team) == ["owner"]


async def test_the_last_owner_is_neither_demoted_nor_removed_nor_leaves(api, database, ada, grace, team):
    await add_member(database, team, grace, "admin")
    problem_of(await set_role(api, ada, team, ada, "admin"), 409, "last_owner")
    problem_of(await api.client.delete(members_url(team, ada), headers=ada.headers), 409, "last_owner")
    problem_of(await api.client.delete(f"/v1/workspaces/{team}/membership", headers=ada.headers), 409, "last_owner")
    assert (await set_role(api, ada, team, grace, "owner")).status_code == 200
    assert (await set_role(api, ada, team, ada, "viewer")).json()["role"] == "viewer"


async def test_of_owners_who_all_leave_at_once_one_stays(api, database, ada, team):
    owners = [ada]
    for n in range(4):
        owners.append(await register(api, f"owner{n}@example.com"))
        await add_member(database, team, owners[-1], "owner")
    url = f"/v1/workspaces/{team}/membership"
    answers = await asyncio.gather(*(api.client.delete(url, headers=each.headers) for each in owners))
    assert sorted(answer.status_code for answer in answers) == [204] * 4 + [409]
    assert await roles(database, team) == ["owner"]


async def test_owners_who_demote_each_other_at_once_leave_an_owner(api, database, ada, grace, team):
    await add_member(database, team, grace, "owner")
    await asyncio.gather(set_role(api, ada, team, grace, "viewer"), set_role(api, grace, team, ada, "viewer"))
    assert "owner" in await roles(database, team)


async def test_an_admin_makes_changes_and_removes_no_owner(api, database, ada, grace, team):
    other = await register(api, "other@example.com")
    await add_member(database, team, grace, "admin")
    await add_member(database, team, other, "viewer")
    for answer in (
        await set_role(api, grace, team, grace, "owner"),
        await set_role(api, grace, team, other, "owner"),
        await set_role(api, grace, team, ada, "viewer"),
        await api.client.delete(members_url(team, ada), headers=grace.headers),
        await invite(api, grace, team, "new@example.com", "owner"),
    ):
        problem_of(answer, 403, "owner_needed")
    assert (await set_role(api, grace, team, other, "admin")).status_code == 200


async def invite(api, by, team, email, role="editor"):
    url = f"/v1/workspaces/{team}/invitations"
    return await api.client.post(url, headers=by.headers, json={"email": email, "role": role})


async def accept(api, person, token):
    return await api.client.post("/v1/invitations/accept", headers=person.headers, json={"token": token})


async def test_an_invitation_is_accepted_by_whom_it_is_for_once(api, database, ada, grace, team):
    made = await invite(api, ada, team, "Grace@Example.com")
    assert made.status_code == 201
    token = made.json()["token"]
    assert token not in str(await database.fetch("SELECT t::text FROM invitations t"))
    url = f"/v1/workspaces/{team}/invitations"
    listed = (await api.client.get(url, headers=ada.headers)).json()["data"]
    assert [(each["email"], each["role"]) for each in listed] == [("Grace@Example.com", "editor")]
    assert "token" not in listed[0]
    other = await register(api, "other@example.com")
    problem_of(await accept(api, other, token), 403, "invitation_not_yours")
    accepted = await accept(api, grace, token)
    assert (accepted.json()["id"], accepted.json()["role"]) == (team, "editor")
    problem_of(await accept(api, grace, token), 404, "not_found")
    assert (await api.client.get(url, headers=ada.headers)).json()["data"] == []
    assert (await api.client.get("/v1/qr-codes", headers=grace.within(team))).status_code == 200


async def test_an_invitation_that_is_revoked_replaced_expired_or_unknown_opens_nothing(
    api, database, ada, grace, team, monkeypatch
):
    first = (await invite(api, ada, team, "grace@example.com")).json()
    second = (await invite(api, ada, team, "grace@example.com", "viewer")).json()
    problem_of(await accept(api, grace, first["token"]), 404, "not_found")
    url = f"/v1/workspaces/{team}/invitations/{second['id']}"
    assert (await api.client.delete(url, headers=ada.headers)).status_code == 204
    problem_of(await api.client.delete(url, headers=ada.headers), 404, "not_found")
    problem_of(await accept(api, grace, second["token"]), 404, "not_found")
    monkeypatch.setattr(invitations, "LIFETIME", timedelta(seconds=-1))
    third = (await invite(api, ada, team, "grace@example.com")).json()
    problem_of(await accept(api, grace, third["token"]), 404, "not_found")
    problem_of(await accept(api, grace, "x"), 404, "not_found")
    assert await roles(database, team) == ["owner"]


async def test_an_invitation_accepted_twice_at_once_makes_one_membership(api, database, ada, grace, team):
    token = (await invite(api, ada, team, "grace@example.com")).json()["token"]
    answers = await asyncio.gather(*(accept(api, grace, token) for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [200, 404, 404, 404]
    assert await roles(database, team) == ["editor", "owner"]


async def test_who_is_in_already_keeps_their_role(api, database, ada, grace, team):
    await add_member(database, team, grace, "admin")
    token = (await invite(api, ada, team, "grace@example.com", "viewer")).json()["token"]
    assert (await accept(api, grace, token)).json()["role"] == "admin"


async def test_a_workspace_whose_only_owner_is_deleted_keeps_its_codes_and_is_handed_over(
    api, database, ada, grace, team
):
    body = {"name": "Menu", "target_url": "https://example.com/"}
    code = (await api.client.post("/v1/qr-codes", headers=ada.within(team), json=body)).json()
    assert (await api.client.delete(f"/v1/admin/users/{ada.user_id}", headers=ADMIN)).status_code == 204
    routed = await database.fetchrow("SELECT status, target_url FROM edge_routes_v1 WHERE qr_id = $1", code["id"])
    assert tuple(routed) == ("active", "https://example.com/")
    url = f"/v1/admin/workspaces/{team}/owner"
    assert bad_names(await api.client.post(url, headers=ADMIN, json={"user_id": ada.user_id})) == {"user_id"}
    handed = await api.client.post(url, headers=ADMIN, json={"user_id": grace.user_id})
    assert handed.json()["id"] == team
    assert (await api.client.get(f"/v1/qr-codes/{code['id']}", headers=grace.within(team))).status_code == 200


async def test_every_change_is_in_the_audit_log_of_its_workspace(api, database, ada, grace, team):
    token = (await invite(api, ada, team, "grace@example.com")).json()["token"]
    await accept(api, grace, token)
    await set_role(api, ada, team, grace, "viewer")
    await api.client.patch(f"/v1/workspaces/{team}", headers=ada.headers, json={"name": "New"})
    await api.client.delete(members_url(team, grace), headers=ada.headers)
    await api.client.delete(f"/v1/workspaces/{team}", headers=ada.headers)
    rows = await database.fetch("SELECT action, actor FROM audit_log WHERE workspace_id = $1 ORDER BY id", team)
    by_ada, by_grace = f"user:{ada.user_id}", f"user:{grace.user_id}"
    assert [tuple(row) for row in rows] == [
        ("workspace.created", by_ada),
        ("invitation.created", by_ada),
        ("invitation.accepted", by_grace),
        ("member.role_changed", by_ada),
        ("workspace.updated", by_ada),
        ("member.removed", by_ada),
        ("workspace.deleted", by_ada),
    ]


async def test_whoever_was_slower_changes_and_deletes_nothing(api, database, ada, grace, team):
    await add_member(database, team, grace, "viewer")
    await database.execute("UPDATE users SET role = 'admin' WHERE id = $1", ada.user_id)
    own, admin = f"/v1/workspaces/{team}", f"/v1/admin/users/{grace.user_id}"
    changes = [
        (ada, "/v1/me", {"name": "A"}, {"name": "B"}),
        (ada, own, {"name": "A"}, {"name": "B"}),
        (ada, members_url(team, grace), {"role": "editor"}, {"role": "billing"}),
        (ada, admin, {"name": "A"}, {"name": "B"}),
    ]
    for by, url, first, second in changes:
        changed = await api.client.patch(url, headers=by.headers, json=first)
        seen = {"If-Match": changed.headers["etag"]}
        assert seen["If-Match"] == f'"{changed.json()["version"]}"'
        again = await api.client.patch(url, headers=by.headers | seen, json=second)
        assert again.status_code == 200
        stale = await api.client.patch(url, headers=by.headers | seen, json=first)
        problem_of(stale, 412, "stale_version")
        assert stale.headers["etag"] == again.headers["etag"] != seen["If-Match"]
        assert (await api.client.patch(url, headers=by.headers, json=second)).headers["etag"] == again.headers["etag"]
    stale = {"If-Match": '"1"'}
    for by, url in ((ada, own), (ada, members_url(team, grace)), (grace, f"{own}/membership"), (ada, admin)):
        problem_of(await api.client.delete(url, headers=by.headers | stale), 412, "stale_version")
    assert await roles(database, team) == ["billing", "owner"]


async def test_what_is_read_says_its_version(api, database, ada, team):
    await database.execute("UPDATE users SET role = 'admin', version = 5")
    for url in (f"/v1/workspaces/{team}", "/v1/me", f"/v1/admin/users/{ada.user_id}"):
        read = await api.client.get(url, headers=ada.headers)
        assert read.headers["etag"] == f'"{read.json()["version"]}"'
    assert read.json()["version"] == 5
    [member] = (await api.client.get(members_url(team), headers=ada.headers)).json()["data"]
    assert member["version"] == 1


async def key_of(api, headers):
    made = await api.client.post("/v1/api-keys", headers=headers, json={"name": "k"})
    return {"X-API-Key": made.json()["api_key"]}


async def test_a_key_never_leaves_its_workspace(api, database, ada, grace, team):
    key = await key_of(api, grace.headers)
    problem_of(await api.client.post("/v1/workspaces", headers=key, json={"name": "Mine"}), 403, "sign_in_needed")
    token = (await invite(api, ada, team, "grace@example.com")).json()["token"]
    accepting = api.client.post("/v1/invitations/accept", headers=key, json={"token": token})
    problem_of(await accepting, 403, "sign_in_needed")
    problem_of(await api.client.delete("/v1/me", headers=key), 403, "sign_in_needed")
    assert await roles(database, team) == ["owner"]


async def test_who_asks_is_told_where_they_are_and_what_they_may(api, database, ada, grace, team):
    await add_member(database, team, grace, "viewer")
    wanted = {"name": "k", "scopes": ["profile:read", "qr-codes:read"]}
    made = (await api.client.post("/v1/api-keys", headers=grace.within(team), json=wanted)).json()
    told = {
        "in person": grace.headers,
        "in another workspace": grace.within(team),
        "by a key": {"X-API-Key": made["api_key"]},
    }
    answers = {name: (await api.client.get("/v1/me", headers=headers)).json() for name, headers in told.items()}
    assert {answer["id"] for answer in answers.values()} == {grace.user_id}
    names = ("workspace_id", "workspace_role", "scopes", "key_id")
    assert {name: tuple(answer[each] for each in names) for name, answer in answers.items()} == {
        "in person": (grace.workspace_id, "owner", ["*"], None),
        "in another workspace": (team, "viewer", ["*"], None),
        "by a key": (team, "viewer", wanted["scopes"], made["id"]),
    }


async def test_who_deletes_their_account_leaves_nothing_that_names_them(api, database):
    ada = await register(api, "ada@example.com", name="Ada Lovelace")
    key = await key_of(api, ada.headers)
    stale = ada.headers | {"If-Match": '"7"'}
    problem_of(await api.client.delete("/v1/me", headers=stale), 412, "stale_version")
    assert (await api.client.delete("/v1/me", headers=ada.headers)).status_code == 204
    for headers in (ada.headers, key):
        problem_of(await api.client.get("/v1/me", headers=headers), 401, "unauthenticated")
    refreshing = api.client.post("/v1/public/refresh", json={"refresh_token": ada.refresh_token})
    problem_of(await refreshing, 401, "unauthenticated")
    for table in ("users", "workspaces", "memberships", "audit_log", "invitations"):
        rows = str(await database.fetch(f"SELECT t::text FROM {table} t")).lower()
        assert "lovelace" not in rows
        assert "ada@example.com" not in rows
    rows = await database.fetch("SELECT actor, action FROM audit_log ORDER BY id DESC LIMIT 2")
    assert {tuple(row) for row in rows} == {
        (f"user:{ada.user_id}", "workspace.deleted"),
        (f"user:{ada.user_id}", "user.deleted"),
    }
    assert (await register(api, "ada@example.com")).user_id != ada.user_id


async def test_an_account_that_a_workspace_or_its_codes_hang_on_stays(api, database, ada, grace, team):
    refused = problem_of(await api.client.delete("/v1/me", headers=ada.headers), 409, "last_owner")
    assert refused["workspace_ids"] == [team]
    await add_member(database, team, grace, "owner")
    body = {"name": "Menu", "target_url": "https://example.com/"}
    code = (await api.client.post("/v1/qr-codes", headers=ada.headers, json=body)).json()
    refused = problem_of(await api.client.delete("/v1/me", headers=ada.headers), 409, "workspace_in_use")
    assert refused["workspace_ids"] == [ada.workspace_id]
    assert (await api.client.delete(f"/v1/qr-codes/{code['id']}", headers=ada.headers)).status_code == 204
    assert (await api.client.delete("/v1/me", headers=ada.headers)).status_code == 204
    assert await roles(database, team) == ["owner"]
    problem_of(await api.client.delete("/v1/me", headers=grace.headers), 409, "last_owner")


async def test_of_owners_who_all_delete_their_account_at_once_one_stays(api, database, ada, team):
    owners = [ada]
    for n in range(3):
        owners.append(await register(api, f"owner{n}@example.com"))
        await add_member(database, team, owners[-1], "owner")
    answers = await asyncio.gather(*(api.client.delete("/v1/me", headers=each.headers) for each in owners))
    assert sorted(answer.status_code for answer in answers) == [204] * 3 + [409]
    assert await roles(database, team) == ["owner"]

"""States of codes: pause, resume, archive, restore, delete; bans; what each leaves behind."""

import asyncio

import orjson

from scanhop.wire.route import Status
from tests.integration.control_api.api_client import ADMIN, bad_names, problem_of
from tests.integration.control_api.people import register


async def post(api, account, code, verb, **headers):
    return await api.client.post(f"/v1/qr-codes/{code['id']}/{verb}", headers=account.headers | headers)


async def delete(api, account, code):
    answer = await api.client.delete(f"/v1/qr-codes/{code['id']}", headers=account.headers)
    assert answer.status_code == 204


async def ban(api, code, reason="abuse", note=None):
    body = {"reason": reason, "note": note}
    return await api.client.post(f"/v1/admin/qr-codes/{code['id']}/ban", headers=ADMIN, json=body)


async def unban(api, code):
    return await api.client.post(f"/v1/admin/qr-codes/{code['id']}/unban", headers=ADMIN)


async def test_each_state_is_reached_once_and_reaching_it_again_changes_nothing(api, account, code, cached):
    version = 1
    for verb, status in (("pause", "paused"), ("resume", "active"), ("archive", "archived"), ("restore", "active")):
        version += 1
        for _ in range(2):
            answer = await post(api, account, code, verb)
            assert answer.status_code == 200
            assert (answer.json()["status"], answer.json()["version"]) == (status, version)
            assert answer.headers["etag"] == f'"{version}"'
        route = await cached(code)
        assert (route.version, route.status.name.lower()) == (version, status)


async def test_a_stale_if_match_changes_no_state(api, account, code):
    for verb in ("pause", "resume", "archive", "restore"):
        problem_of(await post(api, account, code, verb, **{"If-Match": '"7"'}), 412, "stale_version")


async def test_a_paused_code_that_was_archived_is_restored_paused(api, account, code):
    await post(api, account, code, "pause")
    await post(api, account, code, "archive")
    assert (await post(api, account, code, "restore")).json()["status"] == "paused"


async def test_a_deleted_code_is_restored_with_its_short_code_and_what_it_was(api, account, code, cached):
    await post(api, account, code, "pause")
    await delete(api, account, code)
    assert (await cached(code)).status is Status.DELETED
    problem_of(await post(api, account, code, "pause"), 404, "not_found")
    restored = (await post(api, account, code, "restore")).json()
    assert (restored["status"], restored["short_code"], restored["version"]) == ("paused", code["short_code"], 4)
    assert (await cached(code)).status is Status.PAUSED


async def test_a_deleted_code_comes_back_only_to_a_domain_that_is_there(api, account, database):
    domain = await api.create_verified_domain(account, "qr.acme.example")
    code = await api.create_code(account, domain="qr.acme.example")
    await delete(api, account, code)
    await api.client.delete(f"/v1/domains/{domain['id']}", headers=account.headers)
    problem_of(await post(api, account, code, "restore"), 409, "domain_not_verified")
    assert await database.fetchval("SELECT status FROM qr_codes") == "deleted"


async def test_the_owner_sees_the_ban_and_cannot_lift_it_by_any_way(api, account, code, cached):
    await post(api, account, code, "pause")
    banned = await ban(api, code, "legal", "court order 7")
    assert banned.status_code == 200
    seen = (await api.client.get(f"/v1/qr-codes/{code['id']}", headers=account.headers)).json()
    assert (seen["status"], seen["ban_reason"], seen["ban_note"]) == ("banned", "legal", "court order 7")
    assert (await cached(code)).banned_for_legal_reason
    for verb in ("pause", "resume", "archive"):
        problem_of(await post(api, account, code, verb), 409, "code_banned")
    assert (await post(api, account, code, "restore")).json()["status"] == "banned"
    await delete(api, account, code)
    assert (await post(api, account, code, "restore")).json()["status"] == "banned"
    assert (await cached(code)).banned_for_legal_reason
    free = (await unban(api, code)).json()
    assert (free["status"], free["ban_reason"], free["ban_note"]) == ("paused", None, None)
    assert (await unban(api, code)).json() == free


async def test_who_deletes_a_code_before_it_is_banned_does_not_get_it_back(api, account, code, cached):
    await post(api, account, code, "pause")
    await delete(api, account, code)
    banned = await ban(api, code)
    assert (banned.status_code, banned.json()["status"]) == (200, "banned")
    assert (await cached(code)).status is Status.BANNED
    assert (await post(api, account, code, "restore")).json()["status"] == "banned"
    await delete(api, account, code)
    assert (await post(api, account, code, "restore")).json()["status"] == "banned"
    lifted = (await unban(api, code)).json()
    assert (lifted["status"], lifted["ban_reason"]) == ("deleted", None)
    problem_of(await api.client.get(f"/v1/qr-codes/{code['id']}", headers=account.headers), 404, "not_found")
    assert (await post(api, account, code, "restore")).json()["status"] == "paused"


async def test_bans_are_the_platform_admins_and_audited_in_the_workspace(api, account, code, database):
    url = f"/v1/admin/qr-codes/{code['id']}/ban"
    problem_of(await api.client.post(url, headers=account.headers, json={"reason": "abuse"}), 403, "admin_key_needed")
    assert bad_names(await ban(api, code, "dislike")) == {"reason"}
    await ban(api, code, "abuse", "phishing")
    await unban(api, code)
    rows = await database.fetch("SELECT * FROM audit_log WHERE object_id = $1 ORDER BY id", code["id"])
    assert [(row["action"], row["actor"].partition(":")[0], row["reason"]) for row in rows] == [
        ("qr_code.created", "key", None),
        ("qr_code.banned", "platform-admin", "phishing"),
        ("qr_code.unbanned", "platform-admin", None),
    ]
    assert {str(row["workspace_id"]) for row in rows} == {account.workspace_id}
    missing = code | {"id": account.user_id}
    problem_of(await ban(api, missing), 404, "not_found")
    problem_of(await unban(api, missing), 404, "not_found")


async def test_a_ban_names_the_signed_in_admin_who_made_it(api, account, code, database):
    ada = await register(api, "ada@example.com")
    await database.execute("UPDATE users SET role = 'admin' WHERE id = $1", ada.user_id)
    for verb, body in (("ban", {"reason": "abuse"}), ("unban", None)):
        url = f"/v1/admin/qr-codes/{code['id']}/{verb}"
        assert (await api.client.post(url, headers=ada.headers, json=body)).status_code == 200
    history = (await api.client.get(f"/v1/qr-codes/{code['id']}/history", headers=account.headers)).json()
    assert [each["changed_by"] for each in history["data"]][:2] == [f"user:{ada.user_id}"] * 2
    audit = (await api.client.get(f"/v1/audit?object_id={code['id']}", headers=account.headers)).json()
    assert [each["actor"] for each in audit["data"]][:2] == [f"user:{ada.user_id}"] * 2


async def test_the_platform_admin_finds_codes_of_every_workspace(api, account):
    other = await api.create_account()
    first = await api.create_code(account, short_code="first", target_url="https://evil.example/a_b")
    rule = {"when": [{"field": "country", "op": "in", "value": ["DE"]}], "target_url": "https://evil.example/r"}
    second = await api.create_code(other, rules=[rule])
    await api.create_code(other, target_url="https://good.example/")
    await delete(api, other, second)

    async def find(**params):
        answer = await api.client.get("/v1/admin/qr-codes", headers=ADMIN, params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    assert [code["id"] for code in (await find(target="evil.example"))["data"]] == [second["id"], first["id"]]
    assert [code["id"] for code in (await find(target="a_b"))["data"]] == [first["id"]]
    assert (await find(target="axb"))["data"] == []
    assert [code["id"] for code in (await find(short_code="first"))["data"]] == [first["id"]]
    assert [code["id"] for code in (await find(status="deleted"))["data"]] == [second["id"]]
    assert len((await find(workspace_id=other.workspace_id))["data"]) == 2
    page = await find(limit=2)
    rest = await find(limit=2, cursor=page["next_cursor"])
    assert ([len(page["data"]), len(rest["data"])], rest["next_cursor"]) == ([2, 1], None)


async def test_every_change_leaves_history_audit_and_a_job_with_its_reason(api, account, code, database):
    await api.change_code(account, code, name="Carte", password="open sesame", reason="a new season")
    version = await database.fetchrow("SELECT * FROM qr_code_history ORDER BY version DESC LIMIT 1")
    assert (version["version"], version["reason"]) == (2, "a new season")
    audited = await database.fetchrow("SELECT * FROM audit_log ORDER BY id DESC LIMIT 1")
    assert (audited["action"], audited["reason"]) == ("qr_code.changed", "a new season")
    assert orjson.loads(audited["changes"]) == {"name": "Carte", "has_password": True}
    assert audited["request_id"]
    assert await database.fetchval("SELECT count(*) FROM pgqueuer") == 2
    assert bad_names(await api.change_code(account, code, reason="nothing else")) == {"body"}


async def test_states_that_are_set_at_once_are_applied_one_after_the_other(api, account, code, database):
    verbs = ["pause", "resume", "archive", "restore"] * 3
    answers = await asyncio.gather(*(post(api, account, code, verb) for verb in verbs))
    assert {answer.status_code for answer in answers} == {200}
    versions = [row[0] for row in await database.fetch("SELECT version FROM qr_code_history ORDER BY version")]
    assert versions == list(range(1, len(versions) + 1))

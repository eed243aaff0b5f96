"""Who changed what, read back: by workspace, filtered, page by page, and never changed afterwards."""

import asyncpg
import pytest

from tests.integration.control_api.api_client import ADMIN, bad_names, problem_of

HOST = "qr.example.org"


async def list_audit(api, headers, path="/v1/audit", **query):
    answer = await api.client.get(path, headers=headers, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


async def change_a_domain(api, account):
    """Created, verified, changed, deleted."""
    domain = await api.create_verified_domain(account, HOST)
    url = f"/v1/domains/{domain['id']}"
    changed = await api.client.patch(
        url, headers=account.headers | {"X-Request-Id": "my-request"}, json={"not_found_url": "https://a.example/"}
    )
    assert changed.status_code == 200
    await api.client.patch(url, headers=account.headers, json={"not_found_url": "https://a.example/"})
    assert (await api.client.delete(url, headers=account.headers)).status_code == 204
    return domain


def domain_entries(entries):
    return [entry for entry in entries if entry["action"].startswith("domain.")]


async def test_every_change_of_a_domain_is_recorded_once(api, account):
    domain = await change_a_domain(api, account)
    entries = domain_entries(await list_audit(api, account.headers))
    actor = f"key:{account.key.split('_')[1]}"
    assert [(entry["action"], entry["actor"], entry["changes"]) for entry in entries] == [
        ("domain.deleted", actor, {"host": HOST}),
        ("domain.updated", actor, {"not_found_url": "https://a.example/"}),
        ("domain.verified", "platform-admin", {"host": HOST}),
        ("domain.created", actor, {"host": HOST, "code_case": "fold", "not_found_url": None}),
    ]
    assert {entry["object_id"] for entry in entries} == {domain["id"]}
    assert {entry["workspace_id"] for entry in entries} == {account.workspace_id}
    assert entries[1]["request_id"] == "my-request"


async def test_what_is_refused_is_not_recorded(api, account):
    other = await api.create_account()
    await api.create_verified_domain(account, HOST)
    theirs = await api.create_domain(other, HOST)
    answer = await api.client.post(f"/v1/admin/domains/{theirs['id']}/verify", headers=ADMIN)
    problem_of(answer, 409, "host_taken")
    assert [e["action"] for e in domain_entries(await list_audit(api, other.headers))] == ["domain.created"]


async def test_filters_and_pages(api, account):
    domain = await change_a_domain(api, account)
    entries = domain_entries(await list_audit(api, account.headers))
    deleted, updated, verified, created = entries
    assert await list_audit(api, account.headers, action="domain.verified") == [verified]
    assert await list_audit(api, account.headers, actor="platform-admin", object_id=domain["id"]) == [verified]
    query = {"object_id": domain["id"], "from": updated["at"], "to": deleted["at"]}
    assert await list_audit(api, account.headers, **query) == [updated]
    seen, cursor = [], {}
    while True:
        query = {"object_id": domain["id"], "limit": 3} | cursor
        page = (await api.client.get("/v1/audit", headers=account.headers, params=query)).json()
        seen += page["data"]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
        await api.create_domain(account, f"d{len(seen)}.example")
    assert seen == [deleted, updated, verified, created]


async def test_bad_filters_are_named(api, account):
    for name, value in (("action", "a b"), ("actor", "\0"), ("object_id", ""), ("from", "yesterday"), ("what", "x")):
        answer = await api.client.get("/v1/audit", headers=account.headers, params={name: value})
        assert bad_names(answer) == {name}
    query = {"from": "2026-11-02T00:00:00Z", "to": "2026-11-01T00:00:00Z"}
    assert bad_names(await api.client.get("/v1/audit", headers=account.headers, params=query)) == {"to"}


async def test_a_workspace_sees_its_own_changes_and_the_admin_all(api, account):
    other = await api.create_account()
    await api.create_domain(account, HOST)
    assert domain_entries(await list_audit(api, other.headers)) == []
    mine = domain_entries(await list_audit(api, ADMIN, "/v1/admin/audit", workspace_id=account.workspace_id))
    assert [entry["action"] for entry in mine] == ["domain.created"]
    assert domain_entries(await list_audit(api, ADMIN, "/v1/admin/audit", workspace_id=other.workspace_id)) == []
    assert mine == domain_entries(await list_audit(api, ADMIN, "/v1/admin/audit"))
    problem_of(await api.client.get("/v1/admin/audit", headers=account.headers), 403, "admin_key_needed")


@pytest.mark.parametrize(
    "statement", ["UPDATE audit_log SET actor = ''", "DELETE FROM audit_log", "TRUNCATE audit_log"]
)
async def test_the_table_refuses_every_change(api, account, postgres_dsn, statement):
    await api.create_domain(account, HOST)
    connection = await asyncpg.connect(postgres_dsn)
    try:
        with pytest.raises(asyncpg.RestrictViolationError, match="append-only"):
            await connection.execute(statement)
    finally:
        await connection.close()

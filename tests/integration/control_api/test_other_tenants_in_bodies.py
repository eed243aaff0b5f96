"""Ids of another tenant in a body or a query: as if there were no such object, and nothing of theirs changes."""

import pytest

from tests.integration.control_api.api_client import ADMIN
from tests.integration.control_api.people import register
from tests.integration.control_api.tenant_objects import FACTORIES
from tests.integration.control_api.test_other_tenants import NOBODYS, contents

CODE = {"name": "Menu", "target_url": "https://example.com/"}


@pytest.fixture
async def neighbours(api):
    """(somebody's ids and the host of their domain, somebody else with objects of their own)."""
    victim, stranger = await register(api, "victim@example.com"), await register(api, "stranger@example.com")
    made = {}
    for person in (victim, stranger):
        names = ("qr_id", "project_id", "domain_id")
        made[person] = {name: await FACTORIES[name](api, person, person.workspace_id) for name in names}
    verified = await api.client.post(f"/v1/admin/domains/{made[victim]['domain_id']}/verify", headers=ADMIN)
    host = verified.json()["host"]
    return made[victim] | {"host": host}, stranger, made[stranger]


def requests_with(ids, own):
    """Each that takes an id beside those of its path."""
    code, project = f"/v1/qr-codes/{own['qr_id']}", f"/v1/projects/{own['project_id']}"
    scheduled = {"at": "2999-01-01T00:00:00Z", "change": {"project_id": ids["project_id"]}}
    return [
        ("POST", "/v1/qr-codes", CODE | {"project_id": ids["project_id"]}),
        ("POST", "/v1/qr-codes", CODE | {"domain": ids["host"]}),
        ("POST", "/v1/qr-codes/bulk", {"items": [CODE | {"project_id": ids["project_id"]}]}),
        ("PATCH", code, {"project_id": ids["project_id"]}),
        ("PATCH", "/v1/qr-codes/bulk", {"items": [{"id": ids["qr_id"], "name": "Mine"}]}),
        ("POST", f"{code}/scheduled-changes", scheduled),
        ("POST", f"{project}/codes", {"qr_ids": [ids["qr_id"]]}),
        ("DELETE", f"{project}?move_to={ids['project_id']}", None),
        ("GET", f"/v1/qr-codes?project_id={ids['project_id']}", None),
        ("GET", f"/v1/qr-codes?domain={ids['host']}", None),
    ]


async def test_an_id_of_another_tenant_in_a_body_is_nobodys(api, database, neighbours):
    theirs, stranger, own = neighbours
    nobodys = dict.fromkeys(theirs, NOBODYS) | {"host": "nobody.example.com"}
    before = await contents(database)

    async def told(method, url, body, ids):
        answer = await api.client.request(method, url, headers=stranger.headers, json=body)
        text = answer.text
        for name, value in ids.items():
            text = text.replace(value, name)
        return answer.status_code, text

    for asked, control in zip(requests_with(theirs, own), requests_with(nobodys, own), strict=True):
        assert await told(*asked, theirs) == await told(*control, nobodys), asked[:2]
    after = await contents(database)
    for table in ("qr_codes", "projects", "domains", "qr_code_history", "qr_code_scheduled_changes"):
        assert after[table] == before[table], table

"""Pages of every list while others write to it."""

import asyncio
import itertools
from urllib.parse import parse_qsl
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from control_api.request_log import writer
from tests.integration.control_api.api_client import ADMIN
from tests.integration.control_api.people import create_workspace, register

MAX_ADDED = 40


class Shelf:
    """A workspace with its owner and a code; `number` is another one each time."""

    def __init__(self, api, database, owner, workspace_id):
        self.api, self.database, self.owner, self.workspace_id = api, database, owner, workspace_id
        self.headers = owner.within(workspace_id)
        self.qr_id = ""
        self._numbers = itertools.count(1)

    @property
    def number(self):
        return next(self._numbers)

    async def send(self, path, body, headers=None, method="POST"):
        url = path.format(workspace_id=self.workspace_id, qr_id=self.qr_id)
        answer = await self.api.client.request(method, url, headers=headers or self.headers, json=body)
        assert answer.is_success, answer.text
        return answer.json()


async def new_shelf(api, database):
    owner = await register(api, f"{uuid4().hex}@example.com")
    shelf = Shelf(api, database, owner, await create_workspace(api, owner))
    shelf.qr_id = (await code(shelf))["id"]
    return shelf


async def code(shelf):
    number = shelf.number
    body = {"name": f"Menu {number % 3}", "target_url": "https://example.com/", "tags": [f"tag-{number}"]}
    return await shelf.send("/v1/qr-codes", body)


async def user(shelf):
    return await shelf.send("/v1/admin/users", {"email": f"{shelf.number}@{shelf.workspace_id}.example"}, ADMIN)


async def member(shelf):
    made = (await user(shelf))["user"]["id"]
    insert = "INSERT INTO memberships (workspace_id, user_id, role) VALUES ($1, $2, 'viewer')"
    await shelf.database.execute(insert, shelf.workspace_id, made)


async def workspace(shelf):
    await create_workspace(shelf.api, shelf.owner)


async def dead_job(shelf):
    await shelf.database.execute("INSERT INTO pgqueuer (priority, status, entrypoint) VALUES (0, 'failed', 'some')")


def posted(path, make_body, headers=None, method="POST"):
    async def insert(shelf):
        await shelf.send(path, make_body(shelf), headers, method)

    return insert


domain = posted("/v1/domains", lambda shelf: {"host": f"d{shelf.number}.{shelf.workspace_id}.example"})
LISTS = {
    "/v1/admin/users": user,
    "/v1/api-keys": posted("/v1/api-keys", lambda shelf: {"name": "Another"}),
    "/v1/workspaces": workspace,
    "/v1/workspaces/{workspace_id}/members": member,
    "/v1/workspaces/{workspace_id}/invitations": posted(
        "/v1/workspaces/{workspace_id}/invitations",
        lambda shelf: {"email": f"{shelf.number}@example.com", "role": "viewer"},
    ),
    "/v1/projects": posted("/v1/projects", lambda shelf: {"name": "A project"}),
    "/v1/qr-codes": code,
    "/v1/tags": code,
    "/v1/admin/qr-codes": code,
    "/v1/qr-codes/{qr_id}/history": posted(
        "/v1/qr-codes/{qr_id}", lambda shelf: {"name": f"Menu {shelf.number}"}, method="PATCH"
    ),
    "/v1/qr-codes/{qr_id}/scheduled-changes": posted(
        "/v1/qr-codes/{qr_id}/scheduled-changes",
        lambda shelf: {"at": "2999-01-01T00:00:00Z", "change": {"name": "Later"}},
    ),
    "/v1/domains": domain,
    "/v1/credits/history": posted(
        "/v1/admin/credits/add",
        lambda shelf: {"workspace_id": shelf.workspace_id, "amount": 1, "reason": "a gift"},
        ADMIN,
    ),
    "/v1/admin/credits/prices": posted(
        "/v1/admin/credits/prices", lambda shelf: {"action": "qr_code.created", "credits": 0}, ADMIN
    ),
    "/v1/admin/jobs": dead_job,
    "/v1/audit": domain,
    "/v1/admin/audit": domain,
    "/v1/logs": domain,
    "/v1/admin/logs": domain,
    "/v1/admin/users/{user_id}/logs": domain,
}
SORTED = {
    f"/v1/qr-codes?sort={sort}&order={order}": code
    for sort in ("name", "updated_at", "created_at")
    for order in ("asc", "desc")
}
NAMES = ("id", "request_id", "user_id", "version", "name")


@pytest.fixture
async def api(open_api, clickhouse_url, monkeypatch):
    monkeypatch.setattr(writer, "EVERY_S", 0.02)
    async with open_api(clickhouse_url=clickhouse_url) as opened:
        yield opened


async def page_of(shelf, path, **query):
    """The keys of a page's objects, and its `next_cursor`."""
    path, _, order = path.partition("?")
    url = path.format(workspace_id=shelf.workspace_id, qr_id=shelf.qr_id, user_id=shelf.owner.user_id)
    headers = ADMIN if "/admin/" in path else shelf.headers
    answer = await shelf.api.client.get(url, headers=headers, params=dict(parse_qsl(order)) | query)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    objects = body["dead"] if path == "/v1/admin/jobs" else body["data"]
    return [next(each[name] for name in NAMES if name in each) for each in objects], body["next_cursor"]


async def walk(shelf, path, limit):
    keys, following = await page_of(shelf, path, limit=limit)
    while following is not None:
        assert len(keys[-limit:]) == limit
        more, following = await page_of(shelf, path, limit=limit, cursor=following)
        keys += more
    return keys


async def keep_inserting(shelf, insert, is_over):
    for _ in range(MAX_ADDED):
        if is_over.is_set():
            break
        await insert(shelf)


@pytest.mark.parametrize("path", [*LISTS, *SORTED])
@settings(max_examples=3, deadline=None, suppress_health_check=list(HealthCheck))
@given(before=st.integers(2, 7), limit=st.integers(1, 3))
async def test_a_walk_sees_what_was_there_once_each_in_order_while_others_write(api, database, path, before, limit):
    shelf, insert, is_over = await new_shelf(api, database), (LISTS | SORTED)[path], asyncio.Event()
    for _ in range(before):
        await insert(shelf)
    writing = asyncio.create_task(keep_inserting(shelf, insert, is_over))
    there, _ = await page_of(shelf, path, limit=200)
    seen = await walk(shelf, path, limit)
    is_over.set()
    await writing
    assert len(set(seen)) == len(seen)
    assert [key for key in seen if key in there] == there
    assert len(there) >= before or path.endswith("logs")  # whose rows are written a little later


async def test_every_list_with_pages_is_walked(api):
    paged = [
        path
        for path, methods in api.app.openapi()["paths"].items()
        if "cursor" in {each["name"] for each in methods.get("get", {}).get("parameters", ())}
    ]
    assert sorted(LISTS) == sorted(paged)

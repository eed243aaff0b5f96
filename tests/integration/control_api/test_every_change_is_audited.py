"""Every route that changes something says so in the audit log, in the transaction of the change.

Each is asked with a request that succeeds. While the audit log refuses its rows the request must fail and leave
nothing behind; once it takes them again the same request must be done and be in it.
"""

import time
from urllib.parse import urlencode

import pytest
from structlog.testing import capture_logs

from control_api.settings import GoogleSettings
from tests.integration.control_api.api_client import ADMIN, TARGET
from tests.integration.control_api.app_routes import routes_of
from tests.integration.control_api.openid_stand_in import CLIENT_ID, CLIENT_SECRET, OpenIdStandIn, running
from tests.integration.control_api.people import PASSWORD, add_member, create_workspace, register
from tests.integration.control_api.tenant_objects import BODIES, FACTORIES, NO_IDS, body_for
from tests.integration.control_api.test_google_sign_in import start
from tests.integration.control_api.test_other_tenants import contents

NOT_AUDITED = {
    "POST /v1/public/refresh": "a session goes on; its tokens are in its own rows",
    "POST /v1/public/forgot-password": "asked by anybody; what comes of it is recorded when the token is used",
    "POST /v1/public/verify-key": "changes nothing",
    "POST /v1/qr-codes/{qr_id}/resolve": "changes nothing",
    "POST /v1/query": "changes nothing",
    "POST /v1/credits/reservations": "a row of the ledger, which says who and what",
    "POST /v1/credits/reservations/{reservation_id}/settle": "an entry of the ledger",
    "POST /v1/credits/reservations/{reservation_id}/release": "a row of the ledger",
    "POST /v1/token_used": "an entry of the ledger",
    "POST /v1/token_used/batch": "entries of the ledger",
    "POST /api/v1/token_used": "another path of the same",
    "POST /api/v1/token_used/batch": "another path of the same",
}
GOOGLE = "GET /v1/public/oauth/google/callback"
WITHOUT_END = {"GET /v1/analytics/live"}
REFUSE = """
CREATE FUNCTION refuse_audit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no more rows'; END $$;
CREATE TRIGGER refuse_audit BEFORE INSERT ON audit_log EXECUTE FUNCTION refuse_audit();
ALTER TABLE audit_log DISABLE TRIGGER refuse_audit;
"""


class World:
    """The API, a workspace and its owner; each request gets objects of its own."""

    def __init__(self, api, database, owner, workspace_id):
        self.api, self.database, self.owner, self.workspace_id = api, database, owner, workspace_id
        self._people = 0

    async def person(self):
        self._people += 1
        return await register(self.api, f"person{self._people}@example.com")

    async def member(self):
        person = await self.person()
        await add_member(self.database, self.workspace_id, person, "editor")
        return person

    async def make(self, name):
        return await FACTORIES[name](self.api, self.owner, self.workspace_id)

    async def post(self, path, body=None, headers=None):
        answer = await self.api.client.post(path, headers=headers or self.headers, json=body)
        assert answer.is_success, f"{path}: {answer.text}"
        return answer.json()

    @property
    def headers(self):
        return self.owner.within(self.workspace_id)


class Wanted:
    """A request that will succeed: what differs from the plain one."""

    def __init__(self, body=None, headers=None, **values):
        self.body, self.headers, self.values = body, headers, values


def after(step, headers=None, body=None):
    """A code with which something was done before."""

    async def prepare(world):
        qr_id = await world.make("qr_id")
        await world.post(f"/v1{'/admin' if headers else ''}/qr-codes/{qr_id}/{step}", body, headers)
        return Wanted(qr_id=qr_id)

    return prepare


def always(**body):
    async def prepare(world):
        return Wanted(body)

    return prepare


async def some_user(world):
    return Wanted(user_id=(await world.person()).user_id)


async def some_member(world):
    return Wanted(user_id=(await world.member()).user_id)


async def leaving(world):
    return Wanted(headers=(await world.member()).within(world.workspace_id))


async def handed_over(world):
    return Wanted({"user_id": (await world.member()).user_id})


async def empty_workspace(world):
    workspace_id = await create_workspace(world.api, world.owner, "Empty")
    return Wanted(workspace_id=workspace_id, headers=world.owner.within(workspace_id))


async def invited(world):
    guest = await world.person()
    wanted = {"email": guest.email, "role": "viewer"}
    made = await world.post(f"/v1/workspaces/{world.workspace_id}/invitations", wanted)
    return Wanted({"token": made["token"]}, guest.headers)


async def with_session(world):
    return Wanted({"refresh_token": (await world.person()).refresh_token})


async def with_address(world):
    return Wanted({"email": (await world.person()).email, "password": PASSWORD})


async def with_reset(world):
    user_id = (await world.person()).user_id
    made = await world.post(f"/v1/admin/users/{user_id}/password-reset", headers=ADMIN)
    return Wanted({"token": made["token"], "password": "another long password"})


async def own_password(world):
    person = await world.person()
    return Wanted({"current_password": PASSWORD, "new_password": "another long password"}, person.headers)


async def own_account(world):
    return Wanted(headers=(await world.person()).headers)


async def rolled_back(world):
    qr_id = await world.make("qr_id")
    answer = await world.api.client.patch(f"/v1/qr-codes/{qr_id}", headers=world.headers, json={"name": "New"})
    assert answer.is_success
    return Wanted({"version": 1}, qr_id=qr_id)


async def moved(world):
    return Wanted({"qr_ids": [await world.make("qr_id")]})


async def many_changed(world):
    return Wanted({"items": [{"id": await world.make("qr_id"), "name": "New"}]})


async def scheduled(world):
    qr_id = await world.make("qr_id")
    later = {"at": "2999-01-01T00:00:00Z", "change": {"name": "Later"}}
    made = await world.post(f"/v1/qr-codes/{qr_id}/scheduled-changes", later)
    return Wanted(qr_id=qr_id, change_id=made["id"])


async def dead_job(world):
    insert = "INSERT INTO pgqueuer (priority, status, entrypoint) VALUES (0, 'failed', 'some') RETURNING id"
    return Wanted(job_id=str(await world.database.fetchval(insert)))


async def credits_moved(world):
    given = {"workspace_id": world.workspace_id, "amount": 5, "reason": "a gift"}
    await world.post("/v1/admin/credits/add", given, ADMIN)
    return Wanted(given | {"amount": 1})


async def refunded(world):
    taken = (await credits_moved(world)).body
    entry = (await world.post("/v1/admin/credits/deduct", taken, ADMIN))["entry"]
    return Wanted({"workspace_id": world.workspace_id, "entry_id": entry["id"], "reason": "sorry"})


async def from_google(world):
    return Wanted(query=f"?{urlencode(await start(world.api))}")


PREPARED = {
    GOOGLE: from_google,
    "POST /v1/public/register": always(email="new@example.com", password=PASSWORD),
    "POST /v1/public/login": with_address,
    "POST /v1/public/logout": with_session,
    "POST /v1/public/reset-password": with_reset,
    "POST /v1/me/password": own_password,
    "DELETE /v1/me": own_account,
    "POST /v1/admin/users": always(email="made@example.com"),
    "PATCH /v1/admin/users/{user_id}": some_user,
    "DELETE /v1/admin/users/{user_id}": some_user,
    "POST /v1/admin/users/{user_id}/regenerate-key": some_user,
    "POST /v1/admin/users/{user_id}/password-reset": some_user,
    "POST /v1/admin/workspaces/{workspace_id}/owner": handed_over,
    "DELETE /v1/workspaces/{workspace_id}": empty_workspace,
    "DELETE /v1/workspaces/{workspace_id}/membership": leaving,
    "PATCH /v1/workspaces/{workspace_id}/members/{user_id}": some_member,
    "DELETE /v1/workspaces/{workspace_id}/members/{user_id}": some_member,
    "POST /v1/workspaces/{workspace_id}/invitations": always(email="guest@example.com", role="viewer"),
    "POST /v1/invitations/accept": invited,
    "PATCH /v1/workspaces/{workspace_id}": always(name="Renamed"),
    "POST /v1/projects/{project_id}/codes": moved,
    "POST /v1/qr-codes/bulk": always(items=[{"name": "Menu", "target_url": TARGET}]),
    "PATCH /v1/qr-codes/bulk": many_changed,
    "POST /v1/qr-codes/{qr_id}/resume": after("pause"),
    "POST /v1/qr-codes/{qr_id}/restore": after("archive"),
    "POST /v1/qr-codes/{qr_id}/rollback": rolled_back,
    "POST /v1/qr-codes/{qr_id}/scheduled-changes": always(at="2999-01-01T00:00:00Z", change={"name": "Later"}),
    "DELETE /v1/qr-codes/{qr_id}/scheduled-changes/{change_id}": scheduled,
    "POST /v1/admin/qr-codes/{qr_id}/unban": after("ban", ADMIN, {"reason": "abuse"}),
    "POST /v1/admin/jobs/{job_id}/replay": dead_job,
    "POST /v1/admin/credits/add": credits_moved,
    "POST /v1/admin/credits/deduct": credits_moved,
    "POST /v1/admin/credits/refund": refunded,
    "POST /v1/admin/credits/prices": always(action="qr_code.created", credits=0),
    "PATCH /v1/admin/credits/settings": always(monthly_grant=7),
    "PATCH /v1/admin/credits/wallets/{workspace_id}": always(monthly_grant=7),
    "PATCH /v1/credits/settings": always(low_balance_thresholds=[10]),
}


def changing_routes(api):
    return [each for each in routes_of(api.app) if each.method != "GET" or str(each) == GOOGLE]


async def request_to(world, route):
    """(method, URL, headers, body)."""
    prepare = PREPARED.get(str(route))
    wanted = await prepare(world) if prepare else Wanted()
    values = {name: wanted.values.get(name) or await world.make(name) for name in route.parameters}
    body = wanted.body or BODIES.get(str(route)) or body_for(route.body_schema, world.api.app.openapi())
    headers = ADMIN if route.is_admin else {} if route.is_public else world.headers
    url = route.url(**values) + wanted.values.get("query", "")
    return {"method": route.method, "url": url, "headers": wanted.headers or headers, "json": body}


@pytest.fixture
async def world(open_api, database):
    async with running(OpenIdStandIn(), lambda: int(time.time())) as provider:
        provider.claims = {"email": "google@example.com"}
        google = GoogleSettings(CLIENT_ID, CLIENT_SECRET, f"{provider.url}/.well-known/openid-configuration")
        async with open_api(google=google, api_url="http://api") as api:
            owner = await register(api, "owner@example.com")
            yield World(api, database, owner, await create_workspace(api, owner))


async def test_no_change_without_its_audit_row(world, database):
    await database.execute(REFUSE)
    wrong = []
    for route in changing_routes(world.api):
        if str(route) in NOT_AUDITED:
            continue
        request = await request_to(world, route)
        before = await contents(database)
        await database.execute("ALTER TABLE audit_log ENABLE TRIGGER refuse_audit")
        with capture_logs():  # of a fault that is meant
            refused = await world.api.client.request(**request)
        await database.execute("ALTER TABLE audit_log DISABLE TRIGGER refuse_audit")
        if refused.status_code < 500:
            wrong.append(f"{route}: without its audit row {refused.status_code} {refused.text[:200]}")
        elif await contents(database) != before:
            wrong.append(f"{route}: what was not recorded is there")
        else:
            if str(route) == GOOGLE:  # what it sends counts once
                request = await request_to(world, route)
            done = await world.api.client.request(**request)
            rows = len((await contents(database))["audit_log"]) - len(before["audit_log"])
            if not done.is_success or rows < 1:
                wrong.append(f"{route}: {rows} rows, {done.status_code} {done.text[:200]}")
    assert wrong == []


async def test_no_other_route_that_is_read_changes_anything(world, database):
    changed = []
    for route in routes_of(world.api.app):
        if route.method != "GET" or str(route) in {GOOGLE, *WITHOUT_END}:
            continue
        made = {name: NO_IDS.get(name) or await world.make(name) for name in route.parameters}
        before = await contents(database)
        headers = ADMIN if route.is_admin else {} if route.is_public else world.headers
        answer = await world.api.client.get(route.url(**made), headers=headers)
        if answer.status_code not in (200, 303, 422, 503) or await contents(database) != before:
            changed.append(f"{route}: {answer.status_code} {answer.text[:200]}")
    assert changed == []


async def test_the_routes_that_are_not_recorded_exist(api):
    assert NOT_AUDITED.keys() | PREPARED.keys() <= {str(route) for route in changing_routes(api)}

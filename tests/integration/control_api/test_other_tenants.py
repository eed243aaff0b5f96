"""Every route that has an id in its path, asked by one tenant with the ids of another: not found, and no change."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from control_api.request_log import writer
from tests.integration.control_api.api_client import ADMIN
from tests.integration.control_api.app_routes import routes_of
from tests.integration.control_api.people import create_workspace, register
from tests.integration.control_api.tenant_objects import BODIES, FACTORIES, NO_IDS, body_for

NOBODYS = "01a1fbb3-0000-7000-8000-000000000000"
ENDLESS = "GET /v1/analytics/live"  # of test_api_streams
QUERIES = {"GET /v1/analytics/breakdown": {"group_by": "city"}}
ROWS = {"select": ["rows"]}
SECRET_CITY, SECRET_REFERENCE = "Victimville", "victims-gift"
# What is written for other reasons than that something has changed.
IGNORED_TABLES = {"alembic_version", "pgqueuer_statistics"}


async def contents(database):
    """All rows of all tables but when keys were used last."""
    names = await database.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    tables = sorted({row["tablename"] for row in names} - IGNORED_TABLES)
    return {
        table: [
            row["row"]
            for row in await database.fetch(
                f"SELECT (to_jsonb(t) - 'last_used_at')::text AS row FROM {table} t ORDER BY 1"
            )
        ]
        for table in tables
    }


async def make_objects(api, owner, workspace_id, parameters):
    return {name: await FACTORIES[name](api, owner, workspace_id) for name in sorted(parameters)}


def tenant_routes(api):
    return [route for route in routes_of(api.app) if route.parameters and not route.is_public and not route.is_admin]


async def test_every_id_in_a_path_can_be_made(api):
    for route in tenant_routes(api):
        for name in route.parameters:
            assert name in FACTORIES or name in NO_IDS, (
                f"{route}: say in tests/integration/control_api/tenant_objects.py how a {{{name}}} is made"
            )


@pytest.mark.parametrize("by", ["session", "key"])
async def test_the_ids_of_another_tenant_are_not_found_and_nothing_changes(api, database, by):
    routes = tenant_routes(api)
    parameters = {name for route in routes for name in route.parameters} & set(FACTORIES)
    victim, stranger = await register(api, "victim@example.com"), await register(api, "stranger@example.com")
    theirs = await create_workspace(api, victim, "Theirs")
    ids = await make_objects(api, victim, theirs, parameters) | NO_IDS
    headers = stranger.headers
    if by == "key":
        made = await api.client.post("/v1/api-keys", headers=headers, json={"name": "k"})
        headers = {"X-API-Key": made.json()["api_key"]}
    await FACTORIES["reservation_id"](api, stranger, stranger.workspace_id)  # has a wallet, which stays as it is
    before = await contents(database)
    document = api.app.openapi()
    wrong = []
    for route in routes:
        own = {"workspace_id": stranger.workspace_id}
        inside_own = [ids | own] if route.parameters[0] == "workspace_id" and len(route.parameters) > 1 else []
        body = BODIES.get(str(route)) or body_for(route.body_schema, document)
        for values in [ids, *inside_own]:
            answer = await api.client.request(route.method, route.url(**values), headers=headers, json=body)
            if answer.status_code != 404:
                hint = "; BODIES in tenant_objects.py holds none for it" if answer.status_code == 422 else ""
                wrong.append(f"{route}: {answer.status_code} {answer.text[:200]}{hint}")
    assert wrong == []
    assert await contents(database) == before


async def test_the_same_requests_of_the_tenant_itself_find_their_objects(api):
    """Else the test above would be content with routes that never find anything."""
    victim = await register(api, "victim@example.com")
    theirs = await create_workspace(api, victim, "Theirs")
    for route in tenant_routes(api):
        if route.method == "GET":
            ids = await make_objects(api, victim, theirs, set(route.parameters) & set(FACTORIES)) | NO_IDS
            answer = await api.client.get(route.url(**ids), headers=victim.within(theirs))
            assert answer.status_code in {200, 503}, f"{route}: {answer.text}"


@pytest.fixture
async def neighbours(open_api, clickhouse_url, scans, monkeypatch):
    """(the API, somebody who has something of everything, what to know them by, somebody else)."""
    monkeypatch.setattr(writer, "EVERY_S", 0.02)
    async with open_api(clickhouse_url=clickhouse_url) as api:
        victim, stranger = await register(api, "victim@example.com"), await register(api, "stranger@example.com")
        ids = await make_objects(api, victim, victim.workspace_id, FACTORIES.keys() - {"workspace_id", "user_id"})
        given = {"workspace_id": victim.workspace_id, "amount": 5, "reason": "a gift", "reference": SECRET_REFERENCE}
        assert (await api.client.post("/v1/admin/credits/add", headers=ADMIN, json=given)).is_success
        await scans.add(victim, {"id": ids["qr_id"]}, datetime.now(UTC) - timedelta(hours=1), city=SECRET_CITY)
        while not (await api.client.get("/v1/logs", headers=victim.headers)).json()["data"]:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        marks = {SECRET_CITY, SECRET_REFERENCE, victim.workspace_id, victim.user_id, victim.email}
        yield api, victim, marks | set(ids.values()), ids, stranger


async def lists_of(api, person):
    """What each route without an id in its path tells them, by its name."""
    routes = [each for each in routes_of(api.app) if not (each.parameters or each.is_public or each.is_admin)]
    reads = [each for each in routes if each.method == "GET" and str(each) != ENDLESS]
    answers = {
        str(each): await api.client.get(each.path, headers=person.headers, params=QUERIES.get(str(each)))
        for each in reads
    }
    answers["POST /v1/query"] = await api.client.post("/v1/query", headers=person.headers, json=ROWS)
    assert {name: answer.text for name, answer in answers.items() if not answer.is_success} == {}
    return {name: answer.text for name, answer in answers.items()}


async def test_no_list_report_or_log_tells_of_another_tenant(neighbours):
    api, victim, marks, _, stranger = neighbours
    told = await lists_of(api, stranger)
    assert {name: mark for name, text in told.items() for mark in marks if mark in text} == {}
    telling = {name for name, text in (await lists_of(api, victim)).items() if any(mark in text for mark in marks)}
    assert telling >= {
        *("GET /v1/me", "GET /v1/workspaces", "GET /v1/api-keys", "GET /v1/projects", "GET /v1/domains"),
        *("GET /v1/qr-codes", "GET /v1/analytics/breakdown"),
        *("GET /v1/analytics/top-codes", "POST /v1/query"),
        *("GET /v1/credits/history", "GET /v1/audit", "GET /v1/logs"),
    }


async def test_to_filter_by_an_id_of_another_tenant_is_to_filter_by_nobodys(neighbours):
    api, victim, _, ids, stranger = neighbours
    span = {"from": "2026-01-01", "to": "2030-01-01"}

    async def report(person, route, name, value):
        asked = span | QUERIES.get(f"GET {route}", {}) | {name: value}
        answer = await api.client.get(route, headers=person.headers, params=asked)
        assert answer.status_code == 200, answer.text
        return answer.text.replace(value, "")

    for route in [f"/v1/analytics/{each}" for each in ("overview", "timeseries", "breakdown", "top-codes")]:
        for name in ("qr_id", "project_id", "domain_id"):
            told = await report(stranger, route, name, ids[name])
            assert told == await report(stranger, route, name, NOBODYS), f"{route}?{name}"
        own = await report(victim, route, "qr_id", ids["qr_id"])
        assert own != await report(victim, route, "qr_id", NOBODYS), route

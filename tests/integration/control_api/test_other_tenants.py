"""Every route that has an id in its path, asked by one tenant with the ids of another: not found, and no change."""

import pytest

from tests.integration.control_api.app_routes import routes_of
from tests.integration.control_api.people import create_workspace, register
from tests.integration.control_api.tenant_objects import BODIES, FACTORIES, NO_IDS, body_for

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

"""Every route of the application, whoever wrote it, against the one table of permissions.

An unknown query parameter is refused after the caller was admitted and before anything is read or done: 422 is how a
route says "come in" without changing anything.
"""

from control_api.web.permissions import PERMISSIONS, Role
from tests.integration.control_api.api_client import ADMIN
from tests.integration.control_api.app_routes import routes_of
from tests.integration.control_api.people import add_member, create_workspace, register

NOTHING = "01a1fbb3-0000-7000-8000-000000000000"
# Paths that callers of an older service know, and those of the same routes here.
ALIASES = {f"/api{path}": path for path in ("/v1/token_used", "/v1/token_used/batch")}
UNKNOWN_PARAMETER = {"no_such_parameter": "1"}


async def answer_to(api, route, headers, workspace_id):
    values = dict.fromkeys(route.parameters, NOTHING) | {"workspace_id": workspace_id}
    answer = await api.client.request(route.method, route.url(**values), headers=headers, params=UNKNOWN_PARAMETER)
    code = answer.json()["code"] if answer.status_code >= 400 else None
    if code == "invalid_parameters":
        assert answer.json()["invalid_parameters"][0]["name"] == "no_such_parameter", f"{route}: {answer.text}"
        return "admitted"
    return code


def guarded_routes(api):
    return [route for route in routes_of(api.app) if not route.is_public]


async def test_every_route_but_the_public_ones_has_one_guard_and_every_route_asks_it_first(api):
    routes = routes_of(api.app)
    assert routes
    for route in routes:
        assert route.is_guarded_class, f"{route}: its router needs route_class=GuardedRoute"
        guards = 0 if route.is_public else 1
        assert len(route.guards) == guards, f"{route}: it needs {guards} of requires(scope), requires_admin()"
        if not route.is_public:
            path = ALIASES.get(route.path, route.path)
            is_under_admin = path.startswith("/v1/admin/")
            assert path.startswith("/v1/"), f"{route}: neither public nor under /v1"
            assert route.is_admin is is_under_admin, f"{route}: platform admins work under /v1/admin alone"


async def test_every_role_may_what_the_table_says_and_nothing_else(api, database):
    owner = await register(api, "owner@example.com")
    workspace_id = await create_workspace(api, owner)
    people = {Role.OWNER: owner}
    for role in Role:
        if role is not Role.OWNER:
            people[role] = await register(api, f"{role}@example.com")
            await add_member(database, workspace_id, people[role], role)
    wrong = []
    for route in guarded_routes(api):
        for role, person in people.items():
            found = await answer_to(api, route, person.within(workspace_id), workspace_id)
            if route.is_admin:
                wanted = "admin_key_needed"
            else:
                wanted = "admitted" if role in PERMISSIONS[route.scope] else "missing_scope"
            if found != wanted:
                wrong.append(f"{route} as {role}: {found}, not {wanted}")
    assert wrong == []


async def test_a_keys_one_scope_opens_its_routes_and_all_the_others_together_do_not(api):
    owner = await register(api, "owner@example.com")

    async def headers_for(scopes):
        made = await api.client.post("/v1/api-keys", headers=owner.headers, json={"name": "k", "scopes": scopes})
        return {"X-API-Key": made.json()["api_key"]}

    alone = {scope: await headers_for([scope]) for scope in PERMISSIONS}
    without = {scope: await headers_for(sorted(set(PERMISSIONS) - {scope})) for scope in PERMISSIONS}
    for route in guarded_routes(api):
        if route.is_admin:
            every = await answer_to(api, route, alone["workspace:read"], owner.workspace_id)
            assert every == "admin_key_needed", str(route)
        else:
            assert await answer_to(api, route, alone[route.scope], owner.workspace_id) == "admitted", str(route)
            assert await answer_to(api, route, without[route.scope], owner.workspace_id) == "missing_scope", str(
                route
            )


async def test_nobody_is_let_in_anywhere_but_where_it_is_public(api):
    for route in guarded_routes(api):
        assert await answer_to(api, route, {}, NOTHING) == "unauthenticated", str(route)


async def test_the_platform_admin_is_let_in_under_admin_alone_by_key_and_in_person(api, database):
    ada = await register(api, "ada@example.com")
    await database.execute("UPDATE users SET role = 'admin'")
    key = (await api.client.post("/v1/api-keys", headers=ada.headers, json={"name": "k"})).json()["api_key"]
    for route in guarded_routes(api):
        wanted = "admitted" if route.is_admin else "workspace_key_needed"
        assert await answer_to(api, route, ADMIN, NOTHING) == wanted, str(route)
        assert await answer_to(api, route, ada.headers, ada.workspace_id) == "admitted", str(route)
        wanted = "admin_key_needed" if route.is_admin else "admitted"
        assert await answer_to(api, route, {"X-API-Key": key}, ada.workspace_id) == wanted, str(route)

"""One object of each kind in a workspace, by the name of the path parameter that its routes call it.

A new kind of object registers how it is made: `FACTORIES["thing_id"] = create_thing`. A parameter that names nothing
of a tenant's, such as the format of an image, belongs to NO_IDS with a value it may have.
"""

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

from tests.integration.control_api.api_client import ADMIN, Api
from tests.integration.control_api.people import Person

Factory = Callable[[Api, Person, str], Awaitable[str]]


def posted(path: str, body: Callable[[], dict[str, Any]]) -> Factory:
    """What POST makes in the workspace, by the `id` of its answer."""

    async def create(api: Api, owner: Person, workspace_id: str) -> str:
        url = path.replace("{workspace_id}", workspace_id)
        answer = await api.client.post(url, headers=owner.within(workspace_id), json=body())
        assert answer.status_code == 201, f"{path}: {answer.text}"
        return str(answer.json()["id"])

    return create


async def workspace(api: Api, owner: Person, workspace_id: str) -> str:
    return workspace_id


async def member(api: Api, owner: Person, workspace_id: str) -> str:
    return owner.user_id


async def scheduled_change(api: Api, owner: Person, workspace_id: str) -> str:
    qr_id = await FACTORIES["qr_id"](api, owner, workspace_id)
    wanted = {"at": "2999-01-01T00:00:00Z", "change": {"name": "Later"}}
    create = posted(f"/v1/qr-codes/{qr_id}/scheduled-changes", lambda: wanted)
    return await create(api, owner, workspace_id)


async def reservation(api: Api, owner: Person, workspace_id: str) -> str:
    """Of credits that it is given first."""
    given = {"workspace_id": workspace_id, "amount": 5, "reason": "a gift"}
    answer = await api.client.post("/v1/admin/credits/add", headers=ADMIN, json=given)
    assert answer.status_code == 200, answer.text
    return await posted("/v1/credits/reservations", lambda: {"amount": 5})(api, owner, workspace_id)


FACTORIES: dict[str, Factory] = {
    "workspace_id": workspace,
    "user_id": member,
    "key_id": posted("/v1/api-keys", lambda: {"name": "A key"}),
    "invitation_id": posted(
        "/v1/workspaces/{workspace_id}/invitations",
        lambda: {"email": f"{uuid4().hex}@example.com", "role": "viewer"},
    ),
    "qr_id": posted("/v1/qr-codes", lambda: {"name": "Menu", "target_url": "https://example.com/menu"}),
    "change_id": scheduled_change,
    "domain_id": posted("/v1/domains", lambda: {"host": f"{uuid4().hex}.example.com"}),
    "project_id": posted("/v1/projects", lambda: {"name": "A project"}),
    "reservation_id": reservation,
}
NO_IDS: dict[str, str] = {"extension": "svg"}

# Bodies that are valid, for routes whose schema alone does not lead to one.
BODIES: dict[str, dict[str, Any]] = {
    "POST /v1/qr-codes/{qr_id}/rollback": {"version": 1},
    "POST /v1/credits/reservations/{reservation_id}/settle": {"amount": 1},
}


def body_for(schema: dict[str, Any] | None, document: dict[str, Any]) -> Any:
    """The smallest body that the schema allows, near enough."""
    if schema is None:
        return None
    if "$ref" in schema:
        return body_for(document["components"]["schemas"][schema["$ref"].rpartition("/")[2]], document)
    for several in ("anyOf", "oneOf", "allOf"):
        if several in schema:
            return body_for(schema[several][0], document)
    for given in ("const", "default"):
        if schema.get(given) is not None:
            return schema[given]
    for listed in ("examples", "enum"):
        if schema.get(listed):
            return schema[listed][0]
    return _value_for(schema, document)


def _value_for(schema: dict[str, Any], document: dict[str, Any]) -> Any:
    properties = schema.get("properties", {})
    names = schema.get("required") or list(properties)[: schema.get("minProperties", 0)]
    made: dict[str, Callable[[], Any]] = {
        "object": lambda: {name: _field_for(name, properties[name], document) for name in names},
        "array": lambda: [body_for(schema.get("items", {}), document)] * schema.get("minItems", 1),
        "integer": lambda: schema.get("minimum", 1),
        "number": lambda: schema.get("minimum", 1),
        "boolean": lambda: True,
        "string": lambda: _text_for(schema),
    }
    return made[schema.get("type", "string")]()


def _field_for(name: str, schema: dict[str, Any], document: dict[str, Any]) -> Any:
    return "https://example.com/" if name.endswith("_url") else body_for(schema, document)


def _text_for(schema: dict[str, Any]) -> str:
    known = {"uuid": str(uuid4()), "date-time": "2030-01-01T00:00:00Z", "uri": "https://example.com/"}
    return known.get(schema.get("format", ""), "x" * max(1, schema.get("minLength", 1)))

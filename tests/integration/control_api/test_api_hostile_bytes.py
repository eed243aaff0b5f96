"""Hostile bytes in every place of every route: never an error of the API's own, always a problem with a request id.

What no HTTP client would send is in test_api_connections.
"""

import itertools
import json

import pytest

from tests.integration.control_api.api_client import ADMIN
from tests.integration.control_api.app_routes import routes_of
from tests.integration.control_api.people import create_workspace, register
from tests.integration.control_api.tenant_objects import BODIES, FACTORIES, NO_IDS, body_for

MARK = "the value"
NOTHING = "019ab2c4-5f00-7a3e-9d1c-0f4d2c1b9a77"
WITHOUT_END = "GET /v1/analytics/live"
BODIES_OF_BYTES = {
    "nothing": b"",
    "half": b'{"name": "x"',
    "deep lists": b"[" * 10_000,
    "deep objects": b'{"a":' * 10_000,
    "deep lists that end": b"[" * 1_000 + b"]" * 1_000,
    "deep in a field": b'{"name":' + b"[" * 1_000 + b"]" * 1_000 + b"}",
    "a lone surrogate": rb'{"name": "\ud800"}',
    "a lone surrogate in a name": rb'{"\udfff": 1}',
    "no UTF-8": b'{"name": "\xff\xfe"}',
    "a surrogate in UTF-8": b'{"name": "\xed\xa0\x80"}',
    "another encoding": '{"name": "x"}'.encode("utf-16"),
    "a byte order mark": b'\xef\xbb\xbf{"name": "x"}',
    "not a number": b'{"name": NaN}',
    "infinity": b'{"name": -Infinity}',
    "a huge exponent": b'{"name": 1e999}',
    "a number of many digits": b'{"name": ' + b"9" * 5_000 + b"}",
    "the same name twice": b'{"name": "a", "name": {"name": "b"}}',
    "two values": b"{}{}",
    "a NUL behind": b"{}\0",
}
VALUES = [
    "a\0b",
    "\u202e\ufeff\U0010ffff",
    "x" * 20_000,
    2**63,
    -1,
    None,
    [],
    [[]] * 50,
    {},
    {"\0": "\0", "$ne": 1},
]
NUMBERS = [str(2**70), "1e999"]  # which json.dumps would not write
IN_PATHS = ["%00", "%ff%fe", "%ED%A0%80", "..%2f..%2f", "%25%00", str(2**70), "x" * 3_000, "%F0%9F%92%A9", "-1"]
IN_QUERIES = ["%00", "%ff", "%ED%A0%80", "1e999", str(2**70), "x" * 3_000]
IN_HEADERS = [b"\xff\xfe", b"a\tb", b'W/"' + b"9" * 30 + b'"', b"x" * 3_000]
# Together, where none of them is refused before another is read.
HEADERS = (
    ("If-Match", "If-None-Match", "Accept", "Cookie", "X-Forwarded-For", "X-Request-Id"),
    ("Idempotency-Key",),
    ("Scanhop-Workspace",),
)


class Attack:
    """Sends, and keeps what was answered wrongly."""

    def __init__(self, api, owner, workspace_id):
        self.api, self.owner, self.workspace_id = api, owner, workspace_id
        self.document = api.app.openapi()
        self.wrong = []

    async def send(self, route, what, url, content=None, header=()):
        headers = [*self.headers(route).items(), *header]
        if content is not None:
            headers.append(("Content-Type", "application/json"))
        answer = await self.api.client.request(route.method, url, headers=headers, content=content)
        is_problem = answer.headers.get("content-type") == "application/problem+json" and "code" in answer.json()
        if answer.status_code >= 500 or answer.is_error is not is_problem or not answer.headers["x-request-id"]:
            self.wrong.append(f"{route}, {what}: {answer.status_code} {answer.text[:200]}")

    def headers(self, route):
        return ADMIN if route.is_admin else {} if route.is_public else self.owner.within(self.workspace_id)

    async def url_of(self, route):
        """Of objects that exist."""
        known = [name for name in route.parameters if name in FACTORIES]
        made = {name: await FACTORIES[name](self.api, self.owner, self.workspace_id) for name in known}
        return route.url(**(dict.fromkeys(route.parameters, "1") | NO_IDS | made))

    def names_in_query(self, route):
        operation = self.document["paths"].get(route.path, {}).get(route.method.lower(), {})
        return [each["name"] for each in operation.get("parameters", ()) if each["in"] == "query"]


@pytest.fixture
async def attack(open_api, clickhouse_url):
    async with open_api(clickhouse_url=clickhouse_url) as api:
        owner = await register(api, "owner@example.com")
        attack = Attack(api, owner, await create_workspace(api, owner))
        yield attack
        assert attack.wrong == []


def routes(attack, *, with_body=False):
    found = [each for each in routes_of(attack.api.app) if str(each) != WITHOUT_END]
    return [each for each in found if each.body_schema is not None] if with_body else found


async def test_no_body_breaks_a_route(attack):
    for route in routes(attack, with_body=True):
        url = await attack.url_of(route)
        for what, content in BODIES_OF_BYTES.items():
            await attack.send(route, what, url, content)


async def test_no_value_of_a_field_breaks_a_route(attack):
    for route in routes(attack, with_body=True):
        url = await attack.url_of(route)
        plain = BODIES.get(str(route)) or body_for(route.body_schema, attack.document)
        for name in fields_of(route.body_schema, attack.document):
            values = [json.dumps(each) for each in VALUES] + NUMBERS
            for value in values:
                body = json.dumps(plain | {name: MARK}).replace(json.dumps(MARK), value)
                await attack.send(route, f"{name} {value[:50]}", url, body.encode())


async def test_no_path_breaks_a_route(attack):
    for route in routes(attack):
        for name in route.parameters:
            plain = dict.fromkeys(route.parameters, NOTHING) | NO_IDS
            for value in IN_PATHS:
                await attack.send(route, f"{name} {value[:50]}", route.url(**(plain | {name: value})))


async def test_no_query_breaks_a_route(attack):
    for route in routes(attack):
        if route.method == "GET":
            url = await attack.url_of(route)
            for name in [*attack.names_in_query(route), "%00", "%ff"]:
                for value in IN_QUERIES:
                    await attack.send(route, f"{name}={value[:50]}", f"{url}?{name}={value}")


async def test_no_header_breaks_a_route(attack):
    for route in routes(attack):
        nothing = route.url(**(dict.fromkeys(route.parameters, NOTHING) | NO_IDS))
        url = nothing if route.method == "DELETE" else await attack.url_of(route)
        content = None if route.body_schema is None else b"{}"
        for names, value in itertools.product(HEADERS, IN_HEADERS):
            header = [(name, value) for name in names]
            await attack.send(route, f"{names}: {value[:50]!r}", url, content, header)


def fields_of(schema, document):
    """Names of the fields of an object, whichever it is."""
    if "$ref" in schema:
        return fields_of(document["components"]["schemas"][schema["$ref"].rpartition("/")[2]], document)
    several = [each for name in ("anyOf", "oneOf", "allOf") for each in schema.get(name, ())]
    return sorted({*schema.get("properties", ()), *(name for each in several for name in fields_of(each, document))})

"""Whatever is sent, the API answers what its contract says, and never with an error of its own."""

import json

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.integration.control_api.api_client import ADMIN

LAX = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
TEXT = st.text(st.characters(exclude_categories=()), max_size=30)
NUMBERS = st.integers() | st.floats()
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
USER_FIELDS = ["email", "role", "key"]
CODE_FIELDS = ["name", "type", "target_url", "short_code", "status", "domain", "fallback_url", "redirect_status"]
MORE_CODE_FIELDS = ["forward_query", "rules", "starts_at", "expires_at", "max_scans", "password", "tags"]
DOMAIN_FIELDS = ["host", "code_case", "not_found_url"]
FIELDS = st.sampled_from([*USER_FIELDS, *CODE_FIELDS, *MORE_CODE_FIELDS, *DOMAIN_FIELDS])
RULES = st.lists(
    st.fixed_dictionaries(
        {
            "when": st.lists(
                st.fixed_dictionaries(
                    {
                        "field": st.sampled_from(["country", "query", "ip", "date", "hour", "scans", "language"]),
                        "op": st.sampled_from(["in", "is", "between", "gte", "exists"]),
                    },
                    optional={
                        "value": st.sampled_from(["de", ["10.0.0.0/8"], {"from": "08:00", "to": "18:00"}, 7]) | JSON,
                        "key": st.sampled_from(["utm_source"]) | JSON,
                        "timezone": st.sampled_from(["Europe/Berlin", "Mars/Phobos"]) | JSON,
                    },
                ),
                max_size=3,
            )
        },
        optional={"target_url": st.just("https://a.example/") | JSON, "id": JSON, "variants": JSON},
    ),
    max_size=3,
)
TIMES = ["2026-11-01T00:00:00Z", "9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59"]
WORDS = ["url", "active", "https://a.example/", "ada@example.com", "user", "code-1", "Name", "qr.example.com"]
PLAUSIBLE = st.sampled_from([*WORDS, *TIMES, 7, True, 302])
BODIES = (
    JSON
    | st.dictionaries(FIELDS | TEXT, PLAUSIBLE | JSON, max_size=5)
    | st.fixed_dictionaries({"name": PLAUSIBLE, "target_url": PLAUSIBLE, "rules": RULES})
    | st.fixed_dictionaries({"rules": RULES})
)
EXPECTED = {200, 201, 400, 404, 409, 422}


def check(answer):
    assert answer.status_code in EXPECTED, answer.text
    if answer.status_code >= 400:
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["status"] == answer.status_code


@LAX
@given(body=BODIES)
async def test_any_body(api, account, code, body):
    content = json.dumps(body).encode()
    url = f"/v1/qr-codes/{code['id']}"
    for method, path, headers in (
        ("POST", "/v1/qr-codes", account.headers),
        ("PATCH", url, account.headers),
        ("POST", "/v1/domains", account.headers),
        ("POST", "/v1/admin/users", ADMIN),
        ("POST", "/v1/public/verify-key", {}),
    ):
        check(await api.client.request(method, path, headers=headers, content=content))


@LAX
@given(name=st.sampled_from(["limit", "cursor", "status", "from", "to", "timezone", "granularity"]), value=TEXT)
async def test_any_query(api, account, code, name, value):
    query = {name: value.encode("utf-8", "surrogatepass").decode("latin-1")}
    check(await api.client.get("/v1/qr-codes", headers=account.headers, params=query))
    answer = await api.client.get(f"/v1/qr-codes/{code['id']}/analytics", headers=account.headers, params=query)
    if answer.status_code != 503:  # there is no ClickHouse here: the question was a good one
        check(answer)


@LAX
@given(path=st.binary(max_size=20), if_match=st.binary(max_size=20))
async def test_any_path_and_header(api, account, code, path, if_match):
    quoted = "".join(f"%{byte:02x}" for byte in path)
    check(await api.client.get(f"/v1/qr-codes/{quoted}", headers=account.headers))
    headers = [*account.headers.items(), ("if-match", if_match.replace(b"\r", b"").replace(b"\n", b""))]
    answer = await api.client.request("PATCH", f"/v1/qr-codes/{code['id']}", headers=headers, json={"name": "Menu"})
    assert answer.status_code in (200, 412)


ITEMS = st.lists(st.dictionaries(FIELDS | st.sampled_from(["id", "version", "reason"]), PLAUSIBLE | JSON, max_size=4))
NESTED = st.fixed_dictionaries(
    {},
    optional={
        "items": ITEMS | JSON,
        "version": st.sampled_from([1, 2]) | JSON,
        "reason": TEXT,
        "at": st.sampled_from(["2999-01-01T00:00:00Z"]) | JSON,
        "change": BODIES,
        "country": TEXT,
        "user_agent": TEXT,
        "language": TEXT,
        "query": TEXT,
        "ip": st.sampled_from(["192.0.2.1", "fe80::1%eth0"]) | TEXT,
        "now": st.sampled_from(TIMES),
        "name": TEXT,
        "color": st.sampled_from(["#aabbcc"]) | TEXT,
        "qr_ids": JSON,
    },
)


@settings(LAX, max_examples=60)
@given(body=NESTED, kept=st.sampled_from([["items"], ["version", "reason"], ["at", "change"], ["name", "color"], []]))
async def test_any_body_of_what_is_nested(api, account, code, body, kept):
    told = {name: value for name, value in body.items() if name in kept} if kept else body
    url = f"/v1/qr-codes/{code['id']}"
    for method, path in (
        ("POST", "/v1/qr-codes/bulk"),
        ("PATCH", "/v1/qr-codes/bulk"),
        ("POST", f"{url}/resolve"),
        ("POST", f"{url}/rollback"),
        ("POST", f"{url}/scheduled-changes"),
        ("POST", "/v1/projects"),
    ):
        content = json.dumps(told).encode()
        check(await api.client.request(method, path, headers=account.headers, content=content))


@settings(LAX, max_examples=60)
@given(
    name=st.sampled_from(["search", "tags", "project_id", "domain", "type", "created_to", "sort", "order", "cursor"]),
    value=TEXT,
    path=st.sampled_from(["/v1/qr-codes", "/v1/tags"]),
)
async def test_any_search(api, account, code, name, value, path):
    query = {name: value.encode("utf-8", "surrogatepass").decode("latin-1")}
    check(await api.client.get(path, headers=account.headers, params=query))
    admin = {"short_code": "short_code", "search": "target"}.get(name)
    if admin:
        check(await api.client.get("/v1/admin/qr-codes", headers=ADMIN, params={admin: query[name]}))

"""Whatever is wrong with a request, the answer is a problem of the contract."""

import itertools
import json
import re

from structlog.testing import capture_logs

from control_api.web.unlimited import UNLIMITED
from tests.integration.control_api.api_client import ADMIN, TARGET, bad_names, problem_of
from tests.integration.control_api.people import register

ROUTES = [
    ("POST", "/v1/qr-codes"),
    ("PATCH", "/v1/qr-codes/01a1fbb3-0000-7000-8000-000000000000"),
]


async def test_an_unknown_path_is_not_found(api):
    problem_of(await api.client.get("/v1/nothing"), 404, "not_found")
    problem_of(await api.client.get("/v1/qr-codes/"), 404, "not_found")


async def test_a_method_that_a_path_lacks_is_answered_with_those_it_has(api):
    answer = await api.client.put("/v1/qr-codes")
    problem_of(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "GET, HEAD, POST"
    answer = await api.client.post("/v1/qr-codes/x")
    assert answer.headers["allow"] == "DELETE, GET, HEAD, PATCH"
    assert (await api.client.delete("/openapi.json")).headers["allow"]


MALFORMED = {
    "cut short": b'{"name": "x"',
    "nothing": b"",
    "not utf-8": b'{"name": "\xff"}',
    "not a number": b'{"name": NaN}',
    "lone surrogate": rb'{"name": "\ud800"}',
    "deep": b"[" * 100_000,
    "two values": b"{}{}",
}


async def test_a_body_that_is_not_json_is_malformed(api, subtests):
    account = await api.create_account()
    for (method, path), (what, body) in itertools.product(ROUTES, MALFORMED.items()):
        with subtests.test(what, method=method):
            answer = await api.client.request(method, path, headers=account.headers, content=body)
            problem_of(answer, 400, "malformed_json")


async def test_a_body_of_another_type_is_unsupported(api):
    account = await api.create_account()
    answer = await api.client.post("/v1/qr-codes", headers=account.headers, data={"name": "x"})
    problem_of(answer, 415, "unsupported_media_type")
    headers = account.headers | {"Content-Type": "Application/JSON; charset=utf-8"}
    answer = await api.client.post("/v1/qr-codes", headers=headers, content=b"{}")
    assert answer.status_code == 422


async def test_a_body_that_is_no_object_is_invalid(api, subtests):
    account = await api.create_account()
    for body in (b"[]", b'"text"', b"null", b"1"):
        with subtests.test(body=body):
            answer = await api.client.post("/v1/qr-codes", headers=account.headers, content=body)
            assert bad_names(answer) == {"body"}


async def test_every_bad_field_is_named(api):
    account = await api.create_account()
    body = {"name": "", "type": "menu", "target_url": "javascript:alert(1)", "short_code": "a b", "colour": "red"}
    answer = await api.client.post("/v1/qr-codes", headers=account.headers, json=body)
    assert bad_names(answer) == {"name", "type", "target_url", "short_code", "colour"}
    assert "javascript:" not in answer.text


HOSTILE = {
    "script": {"target_url": "javascript:alert(1)"},
    "line break in target": {"target_url": "https://a.example/\r\nSet-Cookie: a=b"},
    "nul in target": {"target_url": "https://a.example/\x00"},
    "nul in name": {"name": "a\x00b"},
    "nul in code": {"short_code": "a\x00"},
    "number as name": {"name": 7},
    "object as target": {"target_url": {"$ne": ""}},
    "null target": {"target_url": None},
    "long name": {"name": "x" * 100_000},
    "unknown field with a nul": {"\x00": 1},
}


async def test_hostile_values_are_invalid(api, subtests):
    account = await api.create_account()
    for what, fields in HOSTILE.items():
        with subtests.test(what):
            body = {"name": "x", "target_url": TARGET} | fields
            answer = await api.client.post("/v1/qr-codes", headers=account.headers, json=body)
            assert bad_names(answer) == set(fields)


NO_IDS = ("x", "%00", "..%2F..", "%ff", "1' OR '1'='1", "01a1fbb3-0000-7000-8000-00000000000")


async def test_an_id_that_is_none_is_not_found(api, subtests):
    account = await api.create_account()
    for method, id_ in itertools.product(("GET", "PATCH", "DELETE"), NO_IDS):
        with subtests.test(id_, method=method):
            body = {"json": {"name": "x"}} if method == "PATCH" else {}
            answer = await api.client.request(method, f"/v1/qr-codes/{id_}", headers=account.headers, **body)
            assert answer.status_code == 404
            assert answer.json()["code"] == "not_found"


async def test_an_announced_body_that_is_too_large_is_refused(api):
    account = await api.create_account()
    answer = await api.client.post("/v1/qr-codes", headers=account.headers, content=b"x" * ((1 << 20) + 1))
    problem_of(answer, 413, "body_too_large")


async def test_a_body_that_grows_too_large_in_chunks_is_refused(api):
    account = await api.create_account()

    async def chunks():
        for _ in range(100):
            yield b"x" * 65_536

    answer = await api.client.post("/v1/qr-codes", headers=account.headers, content=chunks())
    assert "content-length" not in answer.request.headers
    problem_of(answer, 413, "body_too_large")


async def test_a_body_of_the_largest_size_is_read(api):
    account = await api.create_account()
    body = b'{"name": "x", "target_url": "https://a.example"}'.ljust(1 << 20)
    answer = await api.client.post("/v1/qr-codes", headers=account.headers, content=body)
    assert answer.status_code == 201


async def test_an_error_of_ours_says_nothing_but_its_request_id(api):
    async def fail():
        raise RuntimeError("password=hunter2")

    api.app.add_api_route("/fail", fail)
    with capture_logs() as logs:
        answer = await api.client.get("/fail", headers={"X-Request-Id": "question-1"})
    problem_of(answer, 500, "internal_error")
    assert answer.headers["x-request-id"] == "question-1"
    assert "hunter2" not in answer.text
    assert "RuntimeError" not in answer.text
    assert [each["event"] for each in logs] == ["request_failed", "request"]


async def test_postgres_away_is_unavailable(open_api):
    async with open_api(postgres_dsn="postgresql://nobody@127.0.0.1:9/none") as api:
        answer = await api.client.get("/v1/admin/users", headers=ADMIN)
        problem_of(answer, 503, "store_unavailable")
        assert int(answer.headers["retry-after"]) > 0
        assert "127.0.0.1" not in answer.text


async def test_every_answer_has_a_request_id_of_the_senders_or_of_ours(api):
    assert (await api.client.get("/v1/x", headers={"X-Request-Id": "abc.1_2-3"})).headers[
        "x-request-id"
    ] == "abc.1_2-3"
    for bad in ("", "a b", "a" * 129, '"><script>'):
        answer = await api.client.get("/docs", headers={"X-Request-Id": bad})
        assert len(answer.headers["x-request-id"]) == 32


async def test_the_log_has_a_line_per_request_with_the_template_and_nothing_secret(api):
    account = await api.create_account()
    code = await api.create_code(account)
    with capture_logs() as logs:
        await api.client.get(f"/v1/qr-codes/{code['id']}", headers=account.headers)
        await api.client.get("/v1/qr-codes", headers={"X-API-Key": account.key + "x"})
        await api.client.post("/v1/public/verify-key", json={"key": account.key})
    lines = [(each["method"], each["route"], each["status"]) for each in logs]
    assert lines == [
        ("GET", "/v1/qr-codes/{qr_id}", 200),
        ("GET", "/v1/qr-codes", 401),
        ("POST", "/v1/public/verify-key", 200),
    ]
    assert all(each["duration_ms"] >= 0 for each in logs)
    assert account.key not in str(logs)


async def test_answers_are_neither_cached_nor_sniffed(api):
    answer = await api.client.get("/v1/qr-codes", headers=(await api.create_account()).headers)
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"


def operations(document):
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method, path, operation


async def test_the_openapi_document_is_complete(api):
    answer = await api.client.get("/openapi.json")
    document = answer.json()
    assert answer.status_code == 200
    ids = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(set(ids)) == len(ids) >= 12
    for _, path, operation in operations(document):
        assert operation["summary"]
        assert operation["description"]
        assert operation["tags"]
        assert bool(operation.get("security")) is not path.startswith("/v1/public")
        for status, response in operation["responses"].items():
            if status >= "400":
                assert list(response["content"]) == ["application/problem+json"]
                assert response["content"]["application/problem+json"]["examples"]
            elif "application/json" in response.get("content", {}):
                assert response["content"]["application/json"]["example"]
            assert "X-Request-Id" in response["headers"]
        answered = operation["responses"].keys()
        names = {(each["in"], each["name"]) for each in operation.get("parameters", ())}
        assert {"400", "414", "422", "431", "500", "503"} <= answered
        assert ("429" in answered) is (path not in UNLIMITED)
        if operation.get("security"):
            assert {"401", "403"} <= answered
        if any(place == "path" for place, _ in names) or ("header", "Scanhop-Workspace") in names:
            assert "404" in answered, path
        if ("header", "if-match") in {(place, name.lower()) for place, name in names}:
            assert "412" in answered, path
        if "requestBody" in operation:
            assert operation["requestBody"]["content"]["application/json"]["example"]
            assert {"408", "413", "415"} <= answered, path
    assert "HTTPValidationError" not in document["components"]["schemas"]


async def test_bounds_of_integers_are_integers_in_the_document(api):
    text = (await api.client.get("/openapi.json")).text
    whole = json.loads(text)
    bounds = {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}

    def fractions(node):
        if isinstance(node, dict):
            found = [node[name] for name in bounds & node.keys()] if node.get("type") == "integer" else []
            return [each for each in found if isinstance(each, float)] + fractions(list(node.values()))
        return [each for inner in node for each in fractions(inner)] if isinstance(node, list) else []

    assert fractions(whole) == []


async def test_a_post_with_a_credential_takes_an_idempotency_key(api):
    document = (await api.client.get("/openapi.json")).json()
    for method, path, operation in operations(document):
        takes = "Idempotency-Key" in [each["name"] for each in operation.get("parameters", ())]
        assert takes is (method == "post" and not path.startswith("/v1/public"))


async def test_every_route_inside_a_workspace_takes_its_header(api):
    """And answers another's as one that does not exist."""
    ada = await register(api, "ada@example.com")
    headers = ada.within("019ab2c4-5f00-7a3e-9d1c-0f4d2c1b9a77")
    document = (await api.client.get("/openapi.json")).json()
    for method, path, operation in operations(document):
        takes = "Scanhop-Workspace" in [each["name"] for each in operation.get("parameters", ())]
        assert takes is not (path.startswith(("/v1/public", "/v1/admin/")) or "{workspace_id}" in path), path
        if takes:
            problem_of(await api.client.request(method, path, headers=headers), 404, "not_found")


async def test_the_docs_are_there(api):
    answer = await api.client.get("/docs")
    assert answer.status_code == 200
    assert "/openapi.json" in answer.text
    assert "/v1/qr-codes/{qr_id}" in answer.text
    assert answer.headers["content-security-policy"].startswith("default-src 'none'; style-src 'sha256-")
    assert not re.search(r"<script|<link|<img|src=|@import|url\(", answer.text)


async def test_a_strange_method_is_counted_without_a_series_of_its_own(api):
    await api.client.request("BREW", "/v1/qr-codes")
    metrics = (await api.client.get("/v1/public/metrics")).text
    assert 'method="other"' in metrics
    assert "BREW" not in metrics

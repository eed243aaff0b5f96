"""The OpenAPI document and the API say the same: requests made up from the document, against the real thing.

Whatever is sent, an answer has a status, a type, header fields and a body that the document describes; what it allows
is taken, what it forbids is refused. Every operation of the document is tried, new ones too.
"""

import re

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.core.parameters import ParameterLocation

from tests.api_process import ApiProcess
from tests.integration.control_api.api_client import ADMIN, ADMIN_KEY, TARGET

EXAMPLES = 6
CREDENTIALS = ("Authorization", "X-API-Key")  # made up ones, in place of which a valid one is sent
load_all_checks()
# What these checks ask cannot be seen in a single made-up request, or is tested for every route elsewhere.
EXCLUDED = [
    "ignored_auth",  # test_api_authentication tries every route without, and with a wrong, credential
    "use_after_free",  # of sequences of requests
    "ensure_resource_availability",  # of sequences of requests
    "object_level_authorization",  # of two callers: another tenant's objects are tried on every route elsewhere
    "unsupported_method",  # test_api_problems; a case of its own for each path, not for each request
    "allow_header_conformance",  # the same
]
STREAMS_WITHOUT_END = {"GET /v1/analytics/live"}  # test_api_streams reads them
# Where what the document forbids may be taken.
TAKEN_IN_PART = ("/bulk", "/batch")  # each item of the list has a result of its own
TAKEN_AS_TEXT = ("GET /v1/qr-codes",)  # in a query `tags=false` is the list of one text
# What is answered to an allowed request that is not done: the document knows the status, not when it comes.
BEYOND_A_SCHEMA = {
    (400, "bad_cursor"): "a cursor is opaque",
    (401, "wrong_credentials"): "a password that was made up",
    (402, "insufficient_credits"): "the balance is another matter",
    (406, "not_acceptable"): "media types that are not answered",
    (409, None): "what exists already, or is in another state",
    (403, "sign_in_needed"): "what a key may not, whatever it asks",
    (404, "not_found"): "objects of made-up ids do not exist",
    (422, "idempotency_key_reused"): "a made-up key that was made up before",
    (422, "unknown_model"): "models that were made up",
    (412, "stale_version"): "a version that is past",
    (429, "too_many_attempts"): "passwords and addresses that were made up",
}
BEYOND_ANY_SCHEMA = {414, 431}  # all parameters together, in bytes
IN_PUBLIC = {(401, "unauthenticated"), (401, "google_sign_in_failed"), (403, "sign_in_off")}  # made-up tokens
# Fields whose values only a parser, a clock or another field can judge; the paths that a refusal may name.
JUDGED = {
    r"target_url|fallback_url|not_found_url|rules(\..*)?|items\..*|change(\..*)?": "addresses, and parts of rules",
    r"host": "a name of the domain name system, in some hundred characters",
    r"timezone": "one of the IANA's",
    r"from|to|(created|updated)_(from|to)|at|now|starts_at|expires_at|valid_from": "against now, or each other",
    r"token|user_id|workspace_id|project_id|move_to|version|domain": "somebody or something that was made up",
    r"design|type_data": "objects of any fields: how large they are, and without NUL, as jsonb has none",
    r"foreground|background": "colours that a scanner tells apart",
    r"body|size|scale": "fields that go together, as the reason says",
    r"select|group_by(\.\d+)?|order|where\.\d+\.\w+(\.\d+)?": "what a field of a scan can be asked, by its kind",
}
QUIET = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture
def api(postgres_dsn, redis_url, clickhouse_url, tmp_path):
    more = {"SCANHOP_ADMIN_KEY": ADMIN_KEY, "SCANHOP_CLICKHOUSE_URL": clickhouse_url}
    unlimited = {"SCANHOP_API_RATE_PER_SECOND": "100000", "SCANHOP_API_RATE_BURST": "100000"}
    with ApiProcess(postgres_dsn, redis_url, tmp_path, **more, **unlimited) as running:
        yield running
    assert "Traceback" not in running.log


@pytest.fixture
def member(api):
    """Somebody with a key: its header, and the workspace."""
    with httpx.Client(base_url=api.url) as client:
        answer = client.post("/v1/admin/users", headers=ADMIN, json={"email": "ada@example.com"})
    return {"X-API-Key": answer.json()["api_key"]}, answer.json()["workspace"]["id"]


@pytest.fixture
def ids(api, member):
    """Something of everything, by the names that parameters have."""
    headers, workspace_id = member
    with httpx.Client(base_url=api.url, headers=headers) as client:

        def post(path, **body):
            answer = client.post(path, json=body)
            assert answer.status_code == 201, answer.text
            return answer.json()["id"]

        qr_id = post("/v1/qr-codes", name="Menu", target_url=TARGET)
        given = {"workspace_id": workspace_id, "amount": 1000, "reason": "a gift"}
        assert client.post("/v1/admin/credits/add", headers=ADMIN, json=given).is_success
        eve = client.post("/v1/admin/users", headers=ADMIN, json={"email": "eve@example.com"}).json()
        later = {"at": "2999-01-01T00:00:00Z", "change": {"name": "Later"}}
        return {
            "workspace_id": workspace_id,
            "user_id": eve["user"]["id"],
            "qr_id": qr_id,
            "change_id": post(f"/v1/qr-codes/{qr_id}/scheduled-changes", **later),
            "project_id": post("/v1/projects", name="A project"),
            "domain_id": post("/v1/domains", host="qr.example.org"),
            "key_id": post("/v1/api-keys", name="Another"),
            "invitation_id": post(
                f"/v1/workspaces/{workspace_id}/invitations", email="bob@example.com", role="viewer"
            ),
            "reservation_id": post("/v1/credits/reservations", amount=1),
        }


def headers_for(path, member):
    if path.startswith("/v1/public"):
        return {}
    return ADMIN if path.startswith("/v1/admin") else member


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["allowed", "forbidden"])
def test_the_document_and_the_api_agree(api, member, ids, mode, subtests):
    schema = schemathesis.openapi.from_dict(document_of(api))
    schema.config.update(base_url=api.url)
    operations = [each.ok() for each in schema.get_all_operations()]
    assert len(operations) > 100
    headers, _ = member
    for operation in sorted(operations, key=lambda each: each.method.upper() == "DELETE"):
        name = f"{operation.method.upper()} {operation.path}"
        if name not in STREAMS_WITHOUT_END:
            with subtests.test(name):
                check(name, operation, headers_for(operation.path, headers), ids, mode)
    assert httpx.get(f"{api.url}/v1/qr-codes", headers=headers).status_code == 200  # the key was not lost on the way


def document_of(api):
    """Without the header that names the workspace: which one a key opens is not asked of it."""
    document = httpx.get(f"{api.url}/openapi.json").json()
    for methods in document["paths"].values():
        for operation in methods.values():
            parameters = operation.get("parameters", [])
            operation["parameters"] = [each for each in parameters if each["name"] != "Scanhop-Workspace"]
    return document


def check(name, operation, headers, ids, mode):
    excluded = [*EXCLUDED, "positive_data_acceptance"]  # which knows of statuses alone; see is_explained
    if name.endswith(TAKEN_IN_PART) or name in TAKEN_AS_TEXT:
        excluded.append("negative_data_rejection")

    @QUIET
    @given(case=operation.as_strategy(mode), exists=st.booleans())
    def agree(case, exists):
        if exists and mode is GenerationMode.POSITIVE:
            case.path_parameters |= {each: ids[each] for each in case.path_parameters if each in ids}
        replaced = [each for each in CREDENTIALS if case.headers.pop(each, None) is not None]
        wrong = {where for where, part in case.meta.components.items() if part.mode is GenerationMode.NEGATIVE}
        is_mended = replaced and wrong == {ParameterLocation.HEADER}  # what was forbidden may be gone
        skipped = [*excluded, "negative_data_rejection"] if is_mended else excluded
        case.body = with_whole_numbers(case.body)
        response = case.call(headers=headers, timeout=20, allow_redirects=False)
        if response.status_code in BEYOND_ANY_SCHEMA:
            return
        case.validate_response(response, headers=headers, excluded_checks=CHECKS.get_by_names(skipped))
        if mode is GenerationMode.POSITIVE:
            assert is_explained(name, response), (response.status_code, response.text)

    try:
        agree()
    except Unsatisfiable:  # the document forbids nothing that could be made up for this operation
        if mode is GenerationMode.POSITIVE:
            raise


def with_whole_numbers(value):
    """1.0 is an integer to JSON Schema; the API wants 1 written as people and programs write it."""
    match value:
        case dict():
            return {name: with_whole_numbers(each) for name, each in value.items()}
        case list():
            return [with_whole_numbers(each) for each in value]
        case float() if value.is_integer():
            return int(value)
        case _:
            return value


def is_explained(name, response):
    """What is allowed is done, or not for a reason that no schema can give."""
    if response.status_code < 400:
        return True
    found = response.status_code, response.json()["code"]
    if found == (422, "invalid_parameters"):
        names = [each["name"] for each in response.json()["invalid_parameters"]]
        return all(any(re.fullmatch(pattern, each) for pattern in JUDGED) for each in names)
    is_public = "/public/" in name
    return found in BEYOND_A_SCHEMA or (found[0], None) in BEYOND_A_SCHEMA or (is_public and found in IN_PUBLIC)

"""The OpenAPI document and the API say the same: requests made up from the document, against the real thing.

Whatever is sent, an answer has a status, a type, header fields and a body that the document describes; what it allows
is taken, what it forbids is refused. Every operation of the document is tried, new ones too.
"""

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS, load_all_checks

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
# Operations whose schema cannot say all that is checked: (what the API may refuse, why the document cannot say it).
BEYOND_A_SCHEMA = {
    400: "a cursor is opaque",
    402: "the balance is another matter",
    404: "objects of made-up ids do not exist",
    409: "what exists already",
    412: "a version that is past",
    422: "rules between fields, and values that only a parser can judge",
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
    """The header of a workspace that has something of everything."""
    with httpx.Client(base_url=api.url) as client:
        for name in ("other", "ada"):
            answer = client.post("/v1/admin/users", headers=ADMIN, json={"email": f"{name}@example.com"})
            headers = {"X-API-Key": answer.json()["api_key"]}
        client.post("/v1/qr-codes", headers=headers, json={"name": "Menu", "target_url": TARGET})
        client.post("/v1/domains", headers=headers, json={"host": "qr.example.org"})
        client.post("/v1/admin/users", headers=ADMIN, json={"email": "eve@example.com"})
    return headers


def headers_for(path, member):
    if path.startswith("/v1/public"):
        return {}
    return ADMIN if path.startswith("/v1/admin") else member


def existing_id(api, path, headers):
    """The newest object of the collection that the last parameter of the path picks from, if there is one."""
    collection = path.partition("/{")[0]
    answer = httpx.get(f"{api.url}{collection}", headers=headers)
    data = answer.json().get("data", []) if answer.is_success else []
    return data[0].get("id") if data else None


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["allowed", "forbidden"])
def test_the_document_and_the_api_agree(api, member, mode, subtests):
    schema = schemathesis.openapi.from_url(f"{api.url}/openapi.json")
    operations = [each.ok() for each in schema.get_all_operations()]
    assert len(operations) > 15
    for operation in sorted(operations, key=lambda each: each.method.upper() == "DELETE"):
        with subtests.test(f"{operation.method.upper()} {operation.path}"):
            check(api, operation, member, mode)
    assert httpx.get(f"{api.url}/v1/qr-codes", headers=member).status_code == 200  # the key was not lost on the way


def check(api, operation, member, mode):
    headers = headers_for(operation.path, member)
    found = None if "{" not in operation.path else existing_id(api, operation.path, headers)
    taken_in_part = ["negative_data_rejection"] if operation.path.endswith("/bulk") else []  # a result for each item
    excluded = CHECKS.get_by_names([*EXCLUDED, *taken_in_part, "positive_data_acceptance"])

    @QUIET
    @given(case=operation.as_strategy(mode), exists=st.booleans())
    def agree(case, exists):
        if exists and found and mode is GenerationMode.POSITIVE:
            case.path_parameters = dict.fromkeys(case.path_parameters, found)
        for name in CREDENTIALS:
            case.headers.pop(name, None)
        response = case.call(headers=headers, timeout=20)
        case.validate_response(response, headers=headers, excluded_checks=excluded)
        if mode is GenerationMode.POSITIVE:
            allowed = response.status_code < 300 or response.status_code in BEYOND_A_SCHEMA
            if response.status_code in (401, 403):  # a made-up password, token or sign-in
                public = operation.path.startswith("/v1/public")
                allowed = public or response.json()["code"] == "wrong_credentials"
            assert allowed, (response.status_code, response.text)

    try:
        agree()
    except Unsatisfiable:  # the document forbids nothing that could be made up for this operation
        if mode is GenerationMode.POSITIVE:
            raise

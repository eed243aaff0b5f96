"""A dry run says what the edge would answer, and why."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.integration.control_api.api_client import bad_names

IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/17.4 Mobile/15E148 Safari/604.1"
)
RULES = [
    {
        "id": "germans",
        "when": [
            {"field": "country", "op": "in", "value": ["DE"]},
            {"field": "language", "op": "in", "value": ["de"]},
        ],
        "target_url": "https://example.com/de",
    },
    {
        "id": "phones",
        "when": [{"field": "device", "op": "in", "value": ["mobile"]}],
        "variants": [
            {"name": "a", "weight": 1, "target_url": "https://example.com/a"},
            {"name": "b", "weight": 1, "target_url": "https://example.com/b"},
        ],
    },
    {
        "id": "morning",
        "when": [{"field": "hour", "op": "between", "value": {"from": "06:00", "to": "12:00"}}],
        "target_url": "https://example.com/morning",
    },
]


async def resolve(api, account, code, **told):
    answer = await api.client.post(f"/v1/qr-codes/{code['id']}/resolve", headers=account.headers, json=told)
    assert answer.status_code == 200, answer.text
    return answer.json()


def verdicts(answer):
    return {rule["id"]: [each["result"] for each in rule["conditions"]] for rule in answer["rules"]}


async def test_the_rule_that_decides_is_named_and_each_condition_is_explained(api, account):
    code = await api.create_code(account, rules=RULES)
    noon = "2026-11-01T12:00:00Z"
    told = await resolve(api, account, code, country="de", language="de-CH,en;q=0.5", now=noon)
    assert (told["outcome"], told["http_status"], told["target_url"]) == ("redirect", 302, "https://example.com/de")
    assert (told["rule_id"], told["variant"], told["version"]) == ("germans", None, 1)
    assert verdicts(told) == {"germans": ["met", "met"], "phones": ["not_met"], "morning": ["not_met"]}
    assert [rule["decides"] for rule in told["rules"]] == [True, False, False]
    assert told["rules"][0]["conditions"][0]["condition"] == RULES[0]["when"][0]

    told = await resolve(api, account, code, user_agent=IPHONE, now="2026-11-01T07:00:00Z")
    assert told["rule_id"] == "phones"
    assert told["target_url"] == f"https://example.com/{told['variant']}"
    assert verdicts(told) == {"germans": ["unknown", "unknown"], "phones": ["met"], "morning": ["met"]}
    assert (told["facts"]["device"], told["facts"]["os"]) == ("mobile", "iOS")

    told = await resolve(api, account, code, now=noon)
    assert (told["rule_id"], told["target_url"]) == (None, code["target_url"])


async def test_states_limits_and_passwords_are_told_as_the_edge_would(api, account, database):
    code = await api.create_code(
        account, max_scans=3, password="x", starts_at="2026-01-01T00:00:00Z", expires_at="2026-12-01T00:00:00Z"
    )
    inside = {"now": "2026-06-01T00:00:00Z"}

    async def outcome(**told):
        return (await resolve(api, account, code, **told))["outcome"]

    early = await resolve(api, account, code, now="2025-12-31T23:59:59Z")
    assert (early["outcome"], early["opens_at"], early["target_url"]) == ("not_yet", "2026-01-01T00:00:00Z", None)
    assert await outcome(now="2026-12-01T00:00:00Z") == "expired"
    assert await outcome(**inside) == "locked"
    assert await outcome(**inside, password_ok=True) == "redirect"
    assert await outcome(**inside, password_ok=True, scans=3) == "limit"
    await database.execute("INSERT INTO scan_counts (qr_id, scans) VALUES ($1, 3)", code["id"])
    assert await outcome(**inside, password_ok=True) == "limit"
    await api.change_code(account, code, status="paused", fallback_url="https://example.com/closed")
    paused = await resolve(api, account, code, **inside)
    assert (paused["outcome"], paused["target_url"]) == ("paused", "https://example.com/closed")


async def test_a_dry_run_counts_and_changes_nothing(api, account, database):
    code = await api.create_code(account, max_scans=1)
    for _ in range(3):
        assert (await resolve(api, account, code))["outcome"] == "redirect"
    assert await database.fetchval("SELECT count(*) FROM scan_counts") == 0
    assert await database.fetchval("SELECT count(*) FROM qr_code_history") == 1


async def test_queries_are_forwarded_as_a_scan_would(api, account):
    code = await api.create_code(account, target_url="https://example.com/?a=1", forward_query=True)
    told = await resolve(api, account, code, query="?utm_source=poster")
    assert told["target_url"] == "https://example.com/?a=1&utm_source=poster"


async def test_what_cannot_be_a_scan_is_refused(api, account, code, subtests):
    url = f"/v1/qr-codes/{code['id']}/resolve"
    for name, value in (
        ("ip", "example.com"),
        ("now", "yesterday"),
        ("scans", -1),
        ("user_agent", "x" * 1025),
        ("query", "a\nb"),
        ("password_ok", "maybe"),
        ("country", ["DE"]),
        ("planet", "Mars"),
    ):
        with subtests.test(name):
            answer = await api.client.post(url, headers=account.headers, json={name: value})
            assert {each.partition(".")[0] for each in bad_names(answer)} == {name}


TOLD = st.fixed_dictionaries(
    {},
    optional={
        "country": st.sampled_from(["DE", "fr", ""]),
        "language": st.sampled_from(["de", "en", "*", "", "\u20ac"]),
        "user_agent": st.sampled_from([IPHONE, "curl/8", ""]),
        "now": st.sampled_from(["2026-11-01T07:00:00Z", "2026-11-01T13:00:00Z"]),
        "ip": st.sampled_from(["192.0.2.1", "::ffff:192.0.2.1", "2001:db8::1"]),
    },
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(told=TOLD)
async def test_the_first_rule_whose_conditions_are_all_met_is_the_one_that_decides(api, account, told):
    codes = api.__dict__.setdefault("dry_run_codes", {})
    if account.key not in codes:
        codes[account.key] = await api.create_code(account, rules=RULES)
    answer = await resolve(api, account, codes[account.key], **told)
    met = [rule["id"] for rule in answer["rules"] if {each["result"] for each in rule["conditions"]} == {"met"}]
    assert answer["rule_id"] == (met[0] if met else None)
    assert [rule["is_met"] for rule in answer["rules"]] == [rule["id"] in met for rule in answer["rules"]]

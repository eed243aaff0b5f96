"""What a QR code can say beyond its target: created, read back, changed, cleared; and what is refused."""

import asyncio
from datetime import datetime

import argon2

from tests.integration.control_api.api_client import TARGET, bad_names, problem_of

RULE = {
    "id": "germans",
    "when": [{"field": "country", "op": "in", "value": ["DE"]}],
    "target_url": "https://example.com/de",
}
FIELDS = {
    "fallback_url": "https://example.com/closed",
    "redirect_status": 307,
    "forward_query": {"pinned": ["utm_source"]},
    "rules": [RULE],
    "starts_at": "2026-11-01T00:00:00Z",
    "expires_at": "2026-12-01T00:00:00Z",
    "max_scans": 100,
    "tags": ["spring", "Café 7"],
}
CLEARED = {
    "fallback_url": None,
    "rules": [],
    "starts_at": None,
    "expires_at": None,
    "max_scans": None,
}


async def create(api, account, **fields):
    body = {"name": "Menu", "target_url": TARGET} | fields
    return await api.client.post("/v1/qr-codes", headers=account.headers, json=body)


async def read(api, account, code):
    return (await api.client.get(f"/v1/qr-codes/{code['id']}", headers=account.headers)).json()


def those(code):
    return {name: code[name] for name in FIELDS}


async def test_every_field_is_answered_as_it_was_created_and_so_it_is_read_and_listed(api, account):
    code = await api.create_code(account, **FIELDS)
    assert those(code) == FIELDS
    assert await read(api, account, code) == code
    page = (await api.client.get("/v1/qr-codes", headers=account.headers)).json()
    assert page["data"] == [code]


async def test_every_field_is_changed_alone_and_cleared_alone(api, account, subtests):
    for name, value in FIELDS.items():
        with subtests.test(name):
            code = await api.create_code(account)
            changed = (await api.change_code(account, code, **{name: value})).json()
            assert changed == code | {name: value, "version": 2, "updated_at": changed["updated_at"]}
            assert await read(api, account, code) == changed
            again = await api.change_code(account, code, **{name: value})
            assert again.json() == changed
            if name in CLEARED:
                cleared = (await api.change_code(account, code, **{name: None})).json()
                assert cleared == code | {"version": 3, "updated_at": cleared["updated_at"]}


async def test_what_a_change_leaves_out_stays(api, account):
    code = await api.create_code(account, password="open sesame", **FIELDS)
    changed = (await api.change_code(account, code, name="Other")).json()
    assert those(changed) == FIELDS
    assert changed["has_password"] is True


async def test_all_that_can_be_cleared_is_cleared_at_once(api, account):
    code = await api.create_code(account, password="open sesame", **FIELDS)
    answer = await api.change_code(account, code, password=None, **dict.fromkeys(CLEARED))
    changed = answer.json()
    assert {name: changed[name] for name in CLEARED} == CLEARED
    assert changed["has_password"] is False
    assert (changed["tags"], changed["redirect_status"]) == (FIELDS["tags"], 307)


async def test_null_is_refused_where_there_is_nothing_to_clear(api, account, code, subtests):
    for name in ("name", "target_url", "status", "redirect_status", "forward_query", "tags"):
        with subtests.test(name):
            assert bad_names(await api.change_code(account, code, **{name: None})) == {name}


async def test_domain_and_short_code_are_fixed_at_creation(api, account, code):
    assert bad_names(await api.change_code(account, code, domain=None, short_code="x")) == {"domain", "short_code"}


async def test_the_edge_gets_what_was_saved(api, account, cached):
    code = await api.create_code(account, password="open sesame", **FIELDS)
    route = await cached(code)
    assert (route.version, route.fallback_url, route.redirect_status) == (1, FIELDS["fallback_url"], 307)
    assert (route.forward_query, tuple(route.pinned_query), route.max_scans) == (True, ("utm_source",), 100)
    assert route.opens_at_ns == int(datetime.fromisoformat(FIELDS["starts_at"]).timestamp()) * 10**9
    assert len(route.rules) == 1
    assert route.password_hash.startswith("$argon2id$")
    await api.change_code(account, code, password=None, **dict.fromkeys(CLEARED))
    route = await cached(code)
    assert (route.version, route.rules, route.max_scans, route.password_hash) == (2, (), None, None)


BAD = {
    "fallback_url": [
        "",
        "javascript:alert(1)",
        "//example.com",
        "https://example.com/\r\nSet-Cookie: a=b",
        "https://a:b@example.com/",
        7,
    ],
    "redirect_status": [300, 200, "301", 302.5, True],
    "forward_query": [
        "yes",
        1,
        {},
        {"pinned": "a"},
        {"pinned": ["a"] * 51},
        {"pinned": [1]},
        {"pinned": [["a"]]},
        {"pinned": [""]},
        {"pinned": ["a\x00"]},
        {"pinned": ["a" * 1000]},
        {"pinned": ["a"], "more": 1},
    ],
    "starts_at": [
        "2026-11-01T00:00:00",
        "2026-11-01",
        "2026-W01-1T00:00:00Z",
        "2026-13-01T00:00:00Z",
        "soon",
        "",
        1793491200,
        "1793491200",
        "1969-12-31T23:59:59Z",
        "9999-01-01T00:00:00Z",
        "9999-12-31T23:59:59.999999-23:59",
        "0001-01-01T00:00:00+23:59",
        "2026-11-01T00:00:00+25:00",
    ],
    "expires_at": ["2026-11-01T00:00:00", "10000-01-01T00:00:00Z"],
    "max_scans": [0, -1, 1.5, "7", True, 10**15 + 1, 2**63, 2**64],
    "password": ["", "a" * 129, "\U0001f511" * 65, "a\x00b", "a\nb", 7, ["a"]],
    "tags": ["a", [1], [""], ["a" * 51], ["a\x00"], ["a"] * 21, [None], ["a,b"]],
}


async def test_bad_values_are_named_at_creation_and_in_a_change(api, account, code, subtests):
    for name, values in BAD.items():
        for value in values:
            with subtests.test(name, value=value):
                for answer in (
                    await create(api, account, **{name: value}),
                    await api.change_code(account, code, **{name: value}),
                ):
                    [named] = bad_names(answer)
                    assert named.split(".")[0] == name
    assert await read(api, account, code) == code


def with_condition(**condition):
    return [{"when": [condition], "target_url": TARGET}]


BAD_RULES = [
    ({}, "rules"),
    ("x", "rules"),
    (7, "rules"),
    ([7], "rules.0"),
    ([RULE] * 51, "rules"),
    ([{"when": [], "target_url": TARGET}], "rules.0.when"),
    ([RULE | {"target_url": "javascript:alert(1)"}], "rules.0.target_url"),
    ([RULE | {"target_url": "https://a.example/\r\nX: y"}], "rules.0.target_url"),
    ([RULE | {"id": "a b"}], "rules.0.id"),
    ([RULE, RULE], "rules.1.id"),
    (
        [RULE | {"when": [RULE["when"][0], {"field": "ip", "op": "in", "value": ["10.0.0.0/99"]}]}],
        "rules.0.when.1.value",
    ),
    (with_condition(field="hour", op="between", value={"from": "8", "to": "9"}), "rules.0.when.0.value"),
    (
        with_condition(field="weekday", op="in", value=["mon"], timezone="Mars/Phobos"),
        "rules.0.when.0.timezone",
    ),
    (
        with_condition(field="weekday", op="in", value=["mon"], timezone="../../etc/passwd"),
        "rules.0.when.0.timezone",
    ),
    (with_condition(field="city", op="in", value=["a\x00b"]), "rules.0.when.0.value"),
    (with_condition(field="query", op="is", key="a\x00", value="b"), "rules.0.when.0.key"),
    (with_condition(field="query", op="is", key="a", value="b\x00"), "rules.0.when.0.value"),
    (with_condition(field="scans", op="gte", value=-1), "rules.0.when.0.value"),
    (with_condition(field="scans", op="gte", value=2**64), "rules.0.when.0.value"),
    (with_condition(field="date", op="between", value={"from": "soon"}), "rules.0.when.0.value"),
    (with_condition(field="shoe size", op="in", value=["42"]), "rules.0.when.0.field"),
    (with_condition(field=["country"], op={"in": 1}, value=["DE"]), "rules.0.when.0.field"),
    ([{"when": RULE["when"], "variants": [{"name": "a", "weight": 0, "target_url": TARGET}] * 2}], None),
]


async def test_what_is_wrong_with_rules_is_named_by_its_path(api, account, code, subtests):
    for rules, name in BAD_RULES:
        with subtests.test(rules=str(rules)[:80]):
            answers = await create(api, account, rules=rules), await api.change_code(account, code, rules=rules)
            for answer in answers:
                names = bad_names(answer)
                assert name is None or name in names
                assert all(each.startswith("rules") for each in names)


async def test_everything_wrong_is_named_together(api, account):
    rules = [RULE | {"id": "a b"}, RULE | {"target_url": "javascript:alert(1)"}]
    answer = await create(api, account, name="", rules=rules, max_scans=0)
    assert bad_names(answer) == {"name", "max_scans", "rules.0.id", "rules.1.target_url"}
    assert "javascript:" not in answer.text


async def test_rules_too_large_to_keep_are_refused(api, account):
    condition = {"field": "city", "op": "in", "value": ["x" * 100] * 100}
    rules = [{"when": [condition] * 10, "target_url": TARGET}] * 9
    assert bad_names(await create(api, account, rules=rules)) == {"rules"}
    nested = "[" * 500_000 + "]" * 500_000
    content = b'{"name": "x", "target_url": "https://a.example/", "rules": ' + nested.encode() + b"}"
    answer = await api.client.post("/v1/qr-codes", headers=account.headers, content=content)
    assert answer.status_code in (400, 422)
    many = b'{"name": "x", "target_url": "https://a.example/", "rules": [' + b"{}," * 300_000 + b"{}]}"
    answer = await api.client.post("/v1/qr-codes", headers=account.headers, content=many)
    assert bad_names(answer) == {"rules"}


async def test_rules_are_answered_in_their_normal_form_which_can_be_sent_back(api, account):
    rules = [
        {"when": [{"field": "country", "op": "in", "value": "DE"}], "target_url": "HTTPS://Example.com/de"},
        {
            "when": [
                {
                    "field": "hour",
                    "op": "between",
                    "value": {"from": "22:00", "to": "06:00"},
                    "timezone": "Europe/Berlin",
                },
                {"field": "query", "op": "exists", "key": "utm_source"},
                {"field": "scans", "op": "lt", "value": 10},
                {"field": "date", "op": "between", "value": {"from": "2026-11-01"}},
            ],
            "variants": [
                {"name": "a", "weight": 1, "target_url": TARGET},
                {"name": "b", "weight": 3, "target_url": "https://example.org/"},
            ],
        },
    ]
    code = await api.create_code(account, rules=rules)
    assert [rule["id"] for rule in code["rules"]] == ["r1", "r2"]
    assert code["rules"][0]["when"][0]["value"] == ["DE"]
    assert code["rules"][0]["target_url"] == "https://example.com/de"
    assert code["rules"][1]["variants"] == rules[1]["variants"]
    assert [condition["field"] for condition in code["rules"][1]["when"]] == ["hour", "query", "scans", "date"]
    assert (await api.change_code(account, code, rules=code["rules"])).json() == code


CONDITIONS = [
    {"field": "device", "op": "in", "value": ["mobile", "tablet"]},
    {"field": "os", "op": "not_in", "value": ["iOS"]},
    {"field": "browser", "op": "in", "value": ["Firefox"]},
    {"field": "language", "op": "in", "value": ["pt-BR"]},
    {"field": "country", "op": "not_in", "value": ["CH"]},
    {"field": "region", "op": "in", "value": ["Bayern"]},
    {"field": "city", "op": "in", "value": ["Köln", "\U0001f511"]},
    {"field": "ip", "op": "in", "value": ["192.0.2.0/24", "2001:db8::/32"]},
    {"field": "query", "op": "is", "key": "utm_source", "value": "poster"},
    {"field": "query", "op": "in", "key": "utm_source", "value": ["poster", ""]},
    {"field": "query", "op": "not_exists", "key": "ref"},
    {"field": "date", "op": "between", "value": {"to": "2026-12-24T18:00"}, "timezone": "Europe/Berlin"},
    {"field": "weekday", "op": "in", "value": ["sat", "sun"], "timezone": "Europe/Berlin"},
    {"field": "hour", "op": "between", "value": {"from": "08:30", "to": "18:00"}},
    {"field": "scans", "op": "gte", "value": 2**53},
]


async def test_every_kind_of_condition_is_stored_answered_and_published(api, account, code, cached, subtests):
    for condition in CONDITIONS:
        with subtests.test(f"{condition['field']} {condition['op']}"):
            rules = [{"id": "r1", "when": [condition], "target_url": "https://example.com/rule"}]
            changed = (await api.change_code(account, code, rules=rules)).json()
            assert (
                changed["rules"][0]["when"][0].items() >= {name: condition[name] for name in ("field", "op")}.items()
            )
            assert (await api.change_code(account, code, rules=changed["rules"])).json() == changed
            route = await cached(code)
            assert (route.version, len(route.rules)) == (changed["version"], 1)


async def test_times_are_answered_in_utc(api, account):
    code = await api.create_code(
        account, starts_at="2026-11-01T00:00:00+02:00", expires_at="2026-11-01T00:00:00.25-05:30"
    )
    assert (code["starts_at"], code["expires_at"]) == ("2026-10-31T22:00:00Z", "2026-11-01T05:30:00.250000Z")
    assert await read(api, account, code) == code


EARLY, MIDDLE, LATE = "2026-11-01T00:00:00Z", "2026-11-02T00:00:00Z", "2026-11-03T00:00:00Z"


async def test_a_code_begins_before_it_ends_across_old_and_new_values(api, account):
    for start, end in ((LATE, EARLY), (EARLY, EARLY)):
        assert bad_names(await create(api, account, starts_at=start, expires_at=end)) == {"expires_at"}
    code = await api.create_code(account, starts_at=EARLY, expires_at=MIDDLE)
    for fields, name in (
        ({"starts_at": MIDDLE}, "starts_at"),
        ({"expires_at": EARLY}, "expires_at"),
        ({"starts_at": LATE, "expires_at": MIDDLE}, "expires_at"),
    ):
        assert bad_names(await api.change_code(account, code, **fields)) == {name}
    assert await read(api, account, code) == code
    changed = (await api.change_code(account, code, starts_at=LATE, expires_at=None)).json()
    assert (changed["starts_at"], changed["expires_at"]) == (LATE, None)


async def test_a_stale_version_is_told_before_a_window_that_does_not_fit(api, account):
    code = await api.create_code(account, expires_at=EARLY)
    problem_of(await api.change_code(account, code, if_match='"7"', starts_at=LATE), 412, "stale_version")


async def test_of_two_writers_who_each_move_one_end_the_window_stays_whole(api, account):
    code = await api.create_code(account, starts_at=EARLY, expires_at=LATE)
    answers = await asyncio.gather(
        api.change_code(account, code, starts_at="2026-11-02T18:00:00Z"),
        api.change_code(account, code, expires_at="2026-11-02T06:00:00Z"),
    )
    assert sorted(answer.status_code for answer in answers) == [200, 422]


async def test_of_writers_of_rules_who_saw_the_same_version_one_succeeds(api, account, code):
    answers = await asyncio.gather(
        *(
            api.change_code(account, code, if_match='"1"', rules=[RULE | {"id": f"writer{number}"}])
            for number in range(4)
        )
    )
    assert sorted(answer.status_code for answer in answers) == [200, 412, 412, 412]


async def test_tags_are_trimmed_composed_and_said_once(api, account):
    code = await api.create_code(account, tags=[" spring ", "spring", "Spring", "cafe\u0301", "caf\u00e9"])
    assert code["tags"] == ["spring", "Spring", "caf\u00e9"]
    for params in ({"tags": "cafe\u0301"}, {"tags": "caf\u00e9,Spring"}):
        found = (await api.client.get("/v1/qr-codes", headers=account.headers, params=params)).json()["data"]
        assert [each["id"] for each in found] == [code["id"]], params
    assert (await api.change_code(account, code, tags=[])).json()["tags"] == []


async def test_pinned_keys_are_said_once(api, account):
    code = await api.create_code(account, forward_query={"pinned": ["a", "b", "a"]})
    assert code["forward_query"] == {"pinned": ["a", "b"]}
    for value in (True, {"pinned": []}):
        assert (await api.change_code(account, code, forward_query=value)).json()["forward_query"] is True


async def test_of_a_password_only_a_modest_argon2id_hash_is_stored_and_nothing_answered(api, account, database):
    password = "Sésame, öffne dich 🔑"
    answer = await create(api, account, password=password)
    code = answer.json()
    assert code["has_password"] is True
    assert "password" not in set(code) - {"has_password"}
    assert password not in answer.text
    stored = await database.fetchval("SELECT password_hash FROM qr_codes")
    parameters = argon2.extract_parameters(stored)
    assert parameters.type is argon2.Type.ID
    assert (parameters.memory_cost, parameters.time_cost, parameters.parallelism) == (19_456, 2, 1)
    assert argon2.PasswordHasher().verify(stored, password)
    for text in (answer.text, str(await database.fetch("SELECT snapshot FROM qr_code_history"))):
        assert stored not in text
        assert "argon2" not in text


async def test_a_new_password_is_always_a_change_and_removing_none_is_none(api, account, database):
    code = await api.create_code(account)
    assert (await api.change_code(account, code, password=None)).json() == code
    hashes = set()
    for version in (2, 3):
        changed = (await api.change_code(account, code, password="open sesame")).json()
        assert (changed["has_password"], changed["version"]) == (True, version)
        hashes.add(await database.fetchval("SELECT password_hash FROM qr_codes"))
    assert len(hashes) == 2
    removed = (await api.change_code(account, code, password=None)).json()
    assert (removed["has_password"], removed["version"]) == (False, 4)
    assert await database.fetchval("SELECT password_hash FROM qr_codes") is None
    snapshots = await database.fetch("SELECT snapshot->'has_password' AS has FROM qr_code_history ORDER BY version")
    assert [row["has"] for row in snapshots] == ["false", "true", "true", "false"]


async def test_the_longest_password_in_every_script_is_taken(api, account):
    for password in ("a" * 128, "é" * 128, "\U0001f511" * 64, " "):
        assert (await api.create_code(account, password=password))["has_password"] is True


async def test_the_openapi_document_describes_rules_and_hides_nothing_of_their_shape(api):
    schemas = (await api.client.get("/openapi.json")).json()["components"]["schemas"]
    assert set(schemas["Rule"]["properties"]) == {"id", "when", "target_url", "variants"}
    assert set(schemas["Condition"]["properties"]) == {"field", "op", "value", "key", "timezone"}
    assert set(schemas["Variant"]["required"]) == {"name", "weight", "target_url"}
    change = schemas["QrCodeChange"]["properties"]
    for name in (*CLEARED, "password"):
        assert {"type": "null"} in change[name]["anyOf"]
    assert "default" not in change["rules"]
    assert "password" not in schemas["QrCodeAnswer"]["properties"]


async def test_true_is_not_one(api, account):
    code = await api.create_code(account, type_data={"is_open": 1}, design={"frame": {"width": 0}})
    changed = await api.change_code(account, code, type_data={"is_open": True}, design={"frame": {"width": False}})
    assert (changed.json()["type_data"]["is_open"], changed.json()["version"]) == (True, 2)
    assert changed.json()["design"]["frame"]["width"] is False
    history = await api.client.get(f"/v1/qr-codes/{code['id']}/history", headers=account.headers)
    told = history.json()["data"][0]["changes"]
    assert [(each["field"], each["to"]) for each in told] == [
        ("design", {"frame": {"width": False}}),
        ("type_data", {"is_open": True}),
    ]


async def test_a_text_that_only_looks_like_a_nul_is_kept(api, account):
    kept = {"pattern": "\\u0000", "both": "\\\\u0000"}
    assert (await api.create_code(account, type_data=kept))["type_data"] == kept
    assert bad_names(await create(api, account, type_data={"a": "\\\0"})) == {"type_data"}

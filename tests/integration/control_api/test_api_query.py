"""POST /v1/query: which scans are answered, grouped how, in which pages, to whom."""

import base64
import csv
import io
import itertools
from datetime import UTC, datetime, timedelta
from uuid import UUID

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from control_api.analytics.fields import FIELDS
from control_api.analytics.query_schemas import QueryBody
from control_api.analytics.query_service import fingerprint
from tests.integration.control_api.api_client import ADMIN, bad_names, problem_of

NOVEMBER = {"from": "2026-11-01", "to": "2026-12-01"}
AT = "2026-11-10T10:00:00Z"


@pytest.fixture
async def api(open_api, clickhouse_url):
    async with open_api(clickhouse_url=clickhouse_url) as opened:
        yield opened


async def ask(api, account, *select, headers=(), params=(), **body):
    named = {"from" if name == "start" else "to" if name == "end" else name: value for name, value in body.items()}
    return await api.client.post(
        "/v1/query",
        headers=account.headers | dict(headers),
        params=dict(params),
        json={"select": list(select)} | NOVEMBER | named,
    )


async def data_of(api, account, *select, **body):
    answer = await ask(api, account, *select, **body)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


async def pages_of(api, account, *select, limit, **body):
    cursor, pages = None, []
    while True:
        answer = await ask(api, account, *select, limit=limit, cursor=cursor, **body)
        assert answer.status_code == 200, answer.text
        pages.append(answer.json()["data"])
        cursor = answer.json()["next_cursor"]
        if cursor is None:
            return pages


def where(field, op, value=None):
    return {"field": field, "op": op, "value": value}


async def test_rows_have_the_columns_of_a_scan_the_newest_first(api, account, code, scans):
    old, new = await scans.add(account, code, AT, "2026-11-11T10:00:00.123Z", country="DE", visitor=2**64 - 1)
    rows = await data_of(api, account, "rows")
    assert [row["event_id"] for row in rows] == [str(new), str(old)]
    assert list(rows[0]) == list(FIELDS)
    assert rows[0]["scanned_at"] == "2026-11-11T10:00:00.123Z"
    assert (rows[0]["country"], rows[0]["is_bot"], rows[0]["qr_id"]) == ("DE", False, code["id"])
    assert rows[0]["visitor"] == str(2**64 - 1)
    assert await data_of(api, account, "count", where=[where("visitor", "eq", rows[0]["visitor"])]) == [{"count": 2}]


async def test_without_scans_there_are_no_rows_no_groups_and_a_count_of_zero(api, account):
    assert await data_of(api, account, "rows") == []
    assert await data_of(api, account, "count", group_by=["country"]) == []
    assert await data_of(api, account, "count", "visitors") == [{"count": 0, "visitors": 0}]


async def test_only_counted_scans_unless_outcomes_or_bots_are_named(api, account, code, scans):
    await scans.add(account, code, AT)
    await scans.add(account, code, AT, outcome="deleted")
    await scans.add(account, code, AT, is_bot=True, bot_reason="preview")
    assert await data_of(api, account, "count") == [{"count": 1}]
    assert len(await data_of(api, account, "rows")) == 1
    assert await data_of(api, account, "count", include_bots=True) == [{"count": 2}]
    assert await data_of(api, account, "count", where=[where("is_bot", "eq", True)]) == [{"count": 1}]
    assert await data_of(api, account, "count", where=[where("outcome", "ne", "redirect")]) == [{"count": 1}]
    assert await data_of(api, account, "count", group_by=["outcome"]) == [
        {"outcome": "deleted", "count": 1},
        {"outcome": "redirect", "count": 1},
    ]
    assert await data_of(api, account, "count", group_by=["bot_reason"]) == [
        {"bot_reason": "", "count": 1},
        {"bot_reason": "preview", "count": 1},
    ]


CONDITIONS = [
    (where("country", "eq", "DE"), "a"),
    (where("country", "ne", "DE"), "bc"),
    (where("country", "in", ["DE", "FR"]), "ab"),
    (where("country", "not_in", ["DE", "FR"]), "c"),
    (where("country", "is_empty"), "c"),
    (where("country", "is_empty", False), "ab"),
    (where("referer", "contains", "SHOP"), "a"),
    (where("referer", "not_contains", "shop"), "bc"),
    (where("referer", "starts_with", "https://NEWS"), "b"),
    (where("referer", "eq", 'it\'s \\ a "quote"\n\t{x}'), "c"),
    (where("referer", "in", ['it\'s \\ a "quote"\n\t{x}', "]"]), "c"),
    (where("route_version", "gte", 2), "bc"),
    (where("route_version", "lt", 2), "a"),
    (where("route_version", "in", [1, 3]), "ac"),
    (where("scanned_at", "gt", "2026-11-10T10:00:00Z"), "bc"),
    (where("scanned_at", "lte", "2026-11-10T11:00:00+01:00"), "a"),
    (where("project_id", "is_empty"), "ac"),
    (where("project_id", "eq", "00000000-0000-0000-0000-0000000000AA"), "b"),
]


async def test_each_operator_picks_its_scans(api, account, code, scans, subtests):
    named = {"variant": "a", "country": "DE", "referer": "https://shop.example/", "route_version": 1}
    await scans.add(account, code, AT, **named)
    named = {"variant": "b", "country": "FR", "referer": "https://news.example/", "route_version": 2}
    await scans.add(account, code, "2026-11-10T11:00:00Z", project_id=UUID(int=0xAA), **named)
    named = {"variant": "c", "referer": 'it\'s \\ a "quote"\n\t{x}', "route_version": 3}
    await scans.add(account, code, "2026-11-10T12:00:00Z", **named)
    for condition, expected in CONDITIONS:
        with subtests.test(condition=condition):
            rows = await data_of(api, account, "rows", where=[condition])
            assert "".join(sorted(row["variant"] for row in rows)) == expected
    both = [where("country", "is_empty", False), where("route_version", "gt", 1)]
    assert [row["variant"] for row in await data_of(api, account, "rows", where=both)] == ["b"]


async def test_a_long_list_of_values_is_bound_whole(api, account, code, scans):
    await scans.add(account, code, AT)
    ids = [str(UUID(int=number)) for number in range(999)] + [code["id"]]
    assert await data_of(api, account, "count", where=[where("qr_id", "in", ids)]) == [{"count": 1}]


async def test_buckets_are_cut_in_the_zone_also_when_the_clocks_change(api, account, code, scans):
    await scans.add(
        account, code, "2026-10-24T22:30:00Z", "2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z", "2026-10-25T23:00:00Z"
    )
    asked = {"start": "2026-10-25", "end": "2026-10-27", "timezone": "Europe/Berlin"}
    assert await data_of(api, account, "count", group_by=["day"], **asked) == [
        {"day": "2026-10-25", "count": 3},
        {"day": "2026-10-26", "count": 1},
    ]
    hours = await data_of(api, account, "count", group_by=["hour"], **asked)
    assert [row["hour"] for row in hours] == [
        "2026-10-24T22:00:00.000Z",
        "2026-10-25T00:00:00.000Z",
        "2026-10-25T01:00:00.000Z",
        "2026-10-25T23:00:00.000Z",
    ]
    weeks = await data_of(api, account, "count", group_by=["week"], **asked)
    assert weeks == [{"week": "2026-10-19", "count": 3}, {"week": "2026-10-26", "count": 1}]
    months = await data_of(api, account, "count", group_by=["month"], **asked)
    assert months == [{"month": "2026-10-01", "count": 4}]


async def test_hours_of_a_zone_beside_the_full_hour_begin_at_its_own(api, account, code, scans):
    await scans.add(account, code, "2026-11-10T10:29:59.999Z", "2026-11-10T10:30:00Z")
    hours = await data_of(api, account, "count", group_by=["hour"], timezone="Asia/Kolkata")
    assert [row["hour"] for row in hours] == ["2026-11-10T09:30:00.000Z", "2026-11-10T10:30:00.000Z"]


async def test_a_visitor_counts_once_per_utc_day_in_each_group(api, account, code, scans):
    await scans.add(account, code, AT, "2026-11-10T12:00:00Z", "2026-11-11T12:00:00Z", visitor=5, os="iOS")
    await scans.add(account, code, AT, visitor=0, os="iOS")
    answer = await ask(api, account, "visitors", "count", group_by=["os"])
    assert answer.json()["data"] == [{"os": "iOS", "visitors": 2, "count": 4}]
    assert "UTC day" in answer.json()["unique_definition"]


async def test_groups_come_largest_first_or_by_their_keys(api, account, code, scans):
    for country, count in (("AT", 1), ("DE", 3), ("FR", 2), ("CH", 1)):
        await scans.add(account, code, *[AT] * count, country=country)
    largest = await data_of(api, account, "count", group_by=["country"])
    assert [row["country"] for row in largest] == ["DE", "FR", "AT", "CH"]
    by_key = await data_of(api, account, "count", group_by=["country"], order="keys")
    assert [row["country"] for row in by_key] == ["AT", "CH", "DE", "FR"]


GROUPINGS = [["country"], ["day", "country"], ["hour"], ["qr_id", "is_bot", "route_version"]]


@pytest.mark.parametrize("group_by", GROUPINGS)
@pytest.mark.parametrize("order", ["largest", "keys"])
async def test_pages_of_groups_hold_each_group_once(api, account, scans, group_by, order):
    codes = [{"id": str(UUID(int=number))} for number in range(3)]
    for number, (one, country) in enumerate(itertools.product(codes, ("", "DE", "FR", "it's"))):
        moments = [f"2026-11-{day:02}T{number:02}:00:00Z" for day in range(1, 2 + number % 3)]
        await scans.add(account, one, *moments, country=country, route_version=number % 2, is_bot=number % 4 == 3)
    asked = {"group_by": group_by, "order": order, "include_bots": True}
    everything = await data_of(api, account, "count", limit=10_000, **asked)
    pages = await pages_of(api, account, "count", limit=2, **asked)
    assert len(pages) > 1
    assert [row for page in pages for row in page] == everything
    assert sum(row["count"] for row in everything) == 24


async def test_pages_of_rows_stay_as_they_are_while_scans_arrive(api, account, code, scans):
    first = await scans.add(account, code, *[AT] * 5, "2026-11-09T00:00:00Z")
    answer = await ask(api, account, "rows", limit=4)
    await scans.add(account, code, "2026-11-20T00:00:00Z", "2026-11-30T23:59:59Z")
    rest = await ask(api, account, "rows", limit=4, cursor=answer.json()["next_cursor"])
    seen = [row["event_id"] for row in answer.json()["data"] + rest.json()["data"]]
    assert sorted(seen) == sorted(map(str, first))
    assert rest.json()["next_cursor"] is None


async def test_until_now_means_the_same_moment_on_every_page(api, account, code, scans):
    now = datetime.now(UTC)
    await scans.add(account, code, *[now - timedelta(minutes=5)] * 3)
    first = await ask(api, account, "rows", limit=2, start=None, end=None)
    second = await ask(api, account, "rows", limit=2, start=None, end=None, cursor=first.json()["next_cursor"])
    assert (first.json()["to"], first.json()["from"]) == (second.json()["to"], second.json()["from"])
    assert len(second.json()["data"]) == 1


async def test_a_cursor_belongs_to_its_question(api, account, code, scans):
    await scans.add(account, code, AT, AT)
    cursor = (await ask(api, account, "rows", limit=1)).json()["next_cursor"]
    other = await ask(api, account, "rows", limit=1, cursor=cursor, include_bots=True)
    problem_of(other, 400, "bad_cursor")
    for wrong in ("", "nonsense", cursor[:-5], "WzFd", "bnVsbA=="):
        problem_of(await ask(api, account, "rows", limit=1, cursor=wrong), 400, "bad_cursor")


PLACES = [
    *(None, True, -1, 1, 2**64 - 1, 1.5, "", "x", "a\0b", "DE", [], {}),
    *("2026-13-01", "0001-01-01", "2026-11-10", "2199-12-31", "9999-12-31T00:00:00Z", "2199-12-31T00:00:00.000Z", AT),
    *(str(UUID(int=5)), "{00000000-0000-0000-0000-000000000005}"),
]
ASKED_WITH_PLACES = [
    {"select": ["rows"]},
    {"group_by": ["country"]},
    {"group_by": ["day", "is_bot"]},
    {"group_by": ["hour"]},
    {"group_by": ["qr_id", "route_version"], "order": "keys"},
]


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    asked=st.sampled_from(ASKED_WITH_PLACES),
    after=st.one_of(st.sampled_from(PLACES), st.lists(st.sampled_from(PLACES), max_size=3)),
    start=st.sampled_from([*["2026-11-01T00:00:00+00:00"] * 9, "0001-01-01T00:00:00+00:00", "2026-11-01", 5]),
)
async def test_a_cursor_that_was_made_up_is_refused(api, account, asked, after, start):
    """Or it is a place in that order, which is answered."""
    body = QueryBody.model_validate({"select": ["count"]} | NOVEMBER | asked)
    place = [fingerprint(body.asked()), start, "2026-12-01T00:00:00+00:00", after]
    cursor = base64.urlsafe_b64encode(orjson.dumps(place)).decode()
    answer = await ask(api, account, *body.select, cursor=cursor, **{k: v for k, v in asked.items() if k != "select"})
    if answer.status_code != 200:
        problem_of(answer, 400, "bad_cursor")


async def test_the_scans_of_other_tenants_are_out_of_reach(api, account, code, scans):
    stranger = await api.create_account()
    await scans.add(account, code, AT, country="DE")
    assert await data_of(api, stranger, "rows") == []
    everything = [where("country", "in", ["DE", "') OR 1 = 1 --"]), where("qr_id", "eq", code["id"])]
    assert await data_of(api, stranger, "rows", where=everything) == []
    for form in ("csv", "ndjson"):
        answer = await ask(api, stranger, "rows", params={"format": form})
        assert answer.text.count("\n") == (form == "csv")
    asked = {"select": ["rows"]}
    problem_of(await api.client.post("/v1/query", headers=ADMIN, json=asked), 403, "workspace_key_needed")
    problem_of(await api.client.post("/v1/query", json=asked), 401, "unauthenticated")


WRONG = [
    ({"select": []}, {"select"}),
    ({"select": ["rows", "count"]}, {"select"}),
    ({"select": ["count", "count"]}, {"select"}),
    ({"select": ["sum"]}, {"select.0"}),
    ({"select": ["rows"], "group_by": ["os"]}, {"group_by"}),
    ({"select": ["rows"], "order": "keys"}, {"order"}),
    ({"group_by": ["os", "workspace_id", "os"]}, {"group_by.1", "group_by.2"}),
    ({"group_by": ["scanned_at"]}, {"group_by.0"}),
    ({"where": [{"field": "workspace_id", "op": "eq", "value": "x"}]}, {"where.0.field"}),
    ({"where": [{"field": "os); DROP", "op": "eq", "value": "x"}]}, {"where.0.field"}),
    ({"where": [{"field": "os", "op": "gt", "value": "x"}]}, {"where.0.op"}),
    ({"where": [{"field": "os", "op": "eq", "value": 5}]}, {"where.0.value"}),
    ({"where": [{"field": "os", "op": "eq"}]}, {"where.0.value"}),
    ({"where": [{"field": "os", "op": "eq", "value": "a\0b"}]}, {"where.0.value"}),
    ({"where": [{"field": "os", "op": "in", "value": []}]}, {"where.0.value"}),
    ({"where": [{"field": "os", "op": "in", "value": ["x", 1]}]}, {"where.0.value.1"}),
    ({"where": [{"field": "qr_id", "op": "eq", "value": "x"}]}, {"where.0.value"}),
    ({"where": [{"field": "visitor", "op": "eq", "value": -1}]}, {"where.0.value"}),
    ({"where": [{"field": "route_version", "op": "eq", "value": True}]}, {"where.0.value"}),
    ({"where": [{"field": "is_bot", "op": "eq", "value": "true"}]}, {"where.0.value"}),
    ({"where": [{"field": "scanned_at", "op": "gt", "value": "2026-11-01"}]}, {"where.0.value"}),
    ({"from": "2026-11-02", "to": "2026-11-01"}, {"from"}),
    ({"from": "2026-01-01", "to": "2026-11-01", "group_by": ["hour"]}, {"group_by"}),
    ({"timezone": "Mars/Phobos"}, {"timezone"}),
    ({"limit": 10_001}, {"limit"}),
    ({"limit": 0}, {"limit"}),
    ({"colour": 1}, {"colour"}),
]


async def test_what_is_wrong_with_a_question_is_named_by_its_path(open_api, subtests):
    async with open_api() as api:
        account = await api.create_account()
        for body, names in WRONG:
            with subtests.test(body=body):
                asked = {"select": ["count"]} | body
                answer = await api.client.post("/v1/query", headers=account.headers, json=asked)
                assert bad_names(answer) == names


async def test_clickhouse_away_is_unavailable_for_pages_and_exports(open_api):
    async with open_api() as api:
        account = await api.create_account()
        for form in ("json", "csv", "ndjson"):
            answer = await ask(api, account, "rows", params={"format": form})
            problem_of(answer, 503, "store_unavailable")


async def test_a_question_beyond_its_bounds_is_the_asker_s_problem(api, account, code, scans, monkeypatch):
    await scans.add(account, code, *[AT] * 3)
    for bounds in ({"max_rows_to_read": 2}, {"max_memory_usage": 1}):
        monkeypatch.setattr("control_api.analytics.scan_store.BOUNDS", bounds)
        monkeypatch.setattr("control_api.analytics.scan_store.EXPORT_BOUNDS", bounds)
        problem_of(await ask(api, account, "rows"), 422, "query_too_expensive")
        problem_of(await ask(api, account, "rows", params={"format": "csv"}), 422, "query_too_expensive")


async def test_exports_hold_every_row_code_by_code(api, account, scans):
    one, other = {"id": str(UUID(int=1))}, {"id": str(UUID(int=2))}
    ids = [await scans.add(account, code, AT, "2026-11-09T10:00:00Z") for code in (other, one)]
    order = [str(ids[1][1]), str(ids[1][0]), str(ids[0][1]), str(ids[0][0])]
    answer = await ask(api, account, "rows", headers={"Accept": "text/csv"}, limit=1)
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert "attachment" in answer.headers["content-disposition"]
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [row["event_id"] for row in rows] == order
    assert list(rows[0]) == list(FIELDS)
    answer = await ask(api, account, "rows", headers={"Accept": "application/x-ndjson"})
    assert answer.headers["content-type"] == "application/x-ndjson"
    rows = [orjson.loads(line) for line in answer.text.splitlines()]
    assert [row["event_id"] for row in rows] == order
    assert sorted(rows, key=str) == sorted(await data_of(api, account, "rows"), key=str)


async def test_groups_are_exported_too(api, account, code, scans):
    await scans.add(account, code, AT, AT, country="DE")
    await scans.add(account, code, AT, country="=1+1")
    answer = await ask(api, account, "count", group_by=["day", "country"], params={"format": "csv"})
    assert answer.text == 'day,country,count\n"2026-11-10","\'=1+1",1\n"2026-11-10","DE",2\n'


async def test_what_has_no_project_has_null_on_every_page_and_nothing_in_csv(api, account, scans):
    await scans.add(account, None, AT)
    await scans.add(account, None, AT, project_id=UUID(int=5))
    rows = await data_of(api, account, "rows")
    assert sorted(str(row["project_id"]) for row in rows) == [str(UUID(int=5)), "None"]
    assert {row["qr_id"] for row in rows} == {None}
    for order in ("keys", "largest"):
        pages = await pages_of(api, account, "count", limit=1, group_by=["project_id"], order=order)
        assert [page[0]["project_id"] for page in pages] == [None, str(UUID(int=5))]
    answer = await ask(api, account, "count", group_by=["project_id"], params={"format": "csv"})
    assert answer.text == f'project_id,count\n,1\n"{UUID(int=5)}",1\n'


async def test_no_spreadsheet_runs_what_a_visitor_sent(api, account, code, scans):
    hostile = ["=cmd()", "+1", "-1", "@x", "\tx", "\r=1", 'a"b,c\r\nd', "fine"]
    for text in hostile:
        await scans.add(account, code, AT, referer=text)
    answer = await ask(api, account, "rows", params={"format": "csv"})
    cells = {row["referer"] for row in csv.DictReader(io.StringIO(answer.text))}
    assert cells == {"'=cmd()", "'+1", "'-1", "'@x", "'\tx", "' =1", 'a"b,c \nd', "fine"}
    answer = await ask(api, account, "rows", params={"format": "ndjson"})
    assert {orjson.loads(line)["referer"] for line in answer.content.splitlines()} == set(hostile)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
async def test_pages_under_concurrent_inserts_hold_each_earlier_scan_once(api, code, scans, data):
    account = await api.create_account()
    hours = st.integers(0, 20)
    drawn = data.draw(st.lists(hours, min_size=1, max_size=12))
    there = await scans.add(account, code, *[f"2026-11-10T{hour:02}:00:00Z" for hour in drawn])
    cursor, seen = None, []
    while True:
        answer = (await ask(api, account, "rows", limit=data.draw(st.integers(1, 4)), cursor=cursor)).json()
        seen += [row["event_id"] for row in answer["data"]]
        cursor = answer["next_cursor"]
        if cursor is None:
            break
        await scans.add(account, code, f"2026-11-10T{data.draw(hours):02}:00:00Z")
    assert len(seen) == len(set(seen))
    assert set(map(str, there)) <= set(seen)

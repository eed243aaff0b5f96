"""The reports: overview, over time, by dimension, by code, day by day, and the platform's own."""

import itertools
from datetime import UTC, date, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.integration.control_api.api_client import ADMIN, bad_names, problem_of

AT = "2026-11-10T10:00:00Z"
NOVEMBER = {"from": "2026-11-01", "to": "2026-12-01"}
REPORTS = {"overview": {}, "timeseries": {}, "breakdown": {"group_by": "country"}, "top-codes": {}}


@pytest.fixture
async def api(open_api, clickhouse_url):
    async with open_api(clickhouse_url=clickhouse_url) as opened:
        yield opened


async def get(api, account, path, **query):
    named = {"from" if name == "start" else "to" if name == "end" else name: value for name, value in query.items()}
    return await api.client.get(f"/v1/{path}", headers=account.headers, params=named)


async def report(api, account, path, **query):
    period = {} if "start" in query else {"start": NOVEMBER["from"], "end": NOVEMBER["to"]}
    answer = await get(api, account, path, **period, **query)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_without_scans_every_report_is_there_with_zeros(api, account):
    body = await report(api, account, "analytics/overview", compare="previous")
    assert (body["total_scans"], body["unique_visitors"], body["scanned_codes"]) == (0, 0, 0)
    assert body["top"]["country"] == []
    assert (body["previous"]["total_scans"], body["previous"]["scans_change"]) == (0, None)
    body = await report(api, account, "analytics/timeseries", group_by="os")
    assert [bucket["scans"] for bucket in body["series"]] == [0] * 30
    assert body["groups"] == [{"value": None, "scans": [0] * 30}]
    body = await report(api, account, "analytics/breakdown", group_by="city")
    assert (body["data"], body["total_scans"], body["other_scans"]) == ([], 0, 0)
    assert (await report(api, account, "analytics/top-codes"))["data"] == []


async def test_the_overview_says_totals_tops_and_how_they_changed(api, account, code, scans):
    other = await api.create_code(account)
    await scans.add(account, code, AT, AT, country="DE", visitor=1)
    await scans.add(account, other, AT, country="FR", referer="https://news.example/a")
    await scans.add(account, code, AT, is_bot=True)
    await scans.add(account, code, "2026-10-31T12:00:00Z", "2026-10-02T00:00:00Z")
    await scans.add(account, code, "2026-10-01T12:00:00Z")
    body = await report(api, account, "analytics/overview", compare="previous")
    assert (body["total_scans"], body["unique_visitors"], body["scanned_codes"]) == (3, 2, 2)
    assert body["top"]["country"] == [{"value": "DE", "scans": 2}, {"value": "FR", "scans": 1}]
    assert body["top"]["referer_host"] == [{"value": "", "scans": 2}, {"value": "news.example", "scans": 1}]
    assert (body["previous"]["from"], body["previous"]["to"]) == ("2026-10-02T00:00:00Z", "2026-11-01T00:00:00Z")
    assert (body["previous"]["total_scans"], body["previous"]["scans_change"]) == (2, 0.5)
    assert (await report(api, account, "analytics/overview"))["previous"] is None
    body = await report(api, account, "analytics/overview", top=1)
    assert (body["top"]["country"], body["top"]["os"]) == ([{"value": "DE", "scans": 2}], [{"value": "", "scans": 3}])


async def test_the_period_before_one_that_is_no_whole_days_is_as_long(api, account, code, scans):
    await scans.add(account, code, "2026-11-08T17:59:59.999Z", "2026-11-08T18:00:00Z", "2026-11-10T05:59:59.999Z")
    asked = {"start": "2026-11-10T06:00:00Z", "end": "2026-11-11T18:00:00Z", "compare": "previous"}
    previous = (await report(api, account, "analytics/overview", **asked))["previous"]
    assert (previous["from"], previous["to"]) == ("2026-11-08T18:00:00Z", "2026-11-10T06:00:00Z")
    assert previous["total_scans"] == 2


async def test_the_period_before_has_as_many_days_though_the_clocks_change(api, account):
    asked = {"start": "2026-10-25", "end": "2026-10-27", "timezone": "Europe/Berlin", "compare": "previous"}
    body = await report(api, account, "analytics/timeseries", **asked)
    assert (body["previous"]["from"], body["previous"]["to"]) == ("2026-10-22T22:00:00Z", "2026-10-24T22:00:00Z")
    assert len(body["previous"]["series"]) == len(body["series"]) == 2


async def test_the_series_is_split_into_the_largest_values_and_the_others(api, account, code, scans):
    for os, moments in (("iOS", [AT] * 3), ("Android", [AT, "2026-11-11T00:00:00Z"]), ("", [AT]), ("Tizen", [AT])):
        await scans.add(account, code, *moments, os=os)
    asked = {"start": "2026-11-10", "end": "2026-11-12", "group_by": "os", "top": 2}
    body = await report(api, account, "analytics/timeseries", **asked)
    assert [bucket["scans"] for bucket in body["series"]] == [6, 1]
    assert body["groups"] == [
        {"value": "iOS", "scans": [3, 0]},
        {"value": "Android", "scans": [1, 1]},
        {"value": None, "scans": [2, 0]},
    ]


async def test_a_breakdown_says_what_it_does_not_list(api, account, code, scans):
    for city, count in (("Bonn", 3), ("Kiel", 2), ("Ulm", 1)):
        await scans.add(account, code, *[AT] * count, city=city)
    body = await report(api, account, "analytics/breakdown", group_by="city", limit=1)
    assert (body["data"], body["total_scans"], body["other_scans"]) == ([{"value": "Bonn", "scans": 3}], 6, 3)


async def test_what_is_in_no_project_is_unknown(api, account, code, scans):
    await scans.add(account, code, AT)
    await scans.add(account, code, AT, AT, project_id=UUID(int=5))
    body = await report(api, account, "analytics/breakdown", group_by="project")
    assert body["data"] == [{"value": str(UUID(int=5)), "scans": 2}, {"value": "", "scans": 1}]


async def test_outcomes_and_bot_reasons_are_broken_down_whole(api, account, code, scans):
    await scans.add(account, code, AT)
    await scans.add(account, code, AT, outcome="expired")
    await scans.add(account, code, AT, is_bot=True, bot_reason="preview")
    body = await report(api, account, "analytics/breakdown", group_by="outcome")
    assert body["data"] == [{"value": "expired", "scans": 1}, {"value": "redirect", "scans": 1}]
    body = await report(api, account, "analytics/breakdown", group_by="bot_reason")
    assert body["data"] == [{"value": "", "scans": 1}, {"value": "preview", "scans": 1}]


async def test_top_codes_have_their_names_deleted_ones_too(api, account, code, scans):
    gone = await api.create_code(account, name="Poster")
    await api.client.delete(f"/v1/qr-codes/{gone['id']}", headers=account.headers)
    await scans.add(account, gone, AT, AT)
    await scans.add(account, code, AT)
    await scans.add(account, None, AT, AT, AT)
    body = await report(api, account, "analytics/top-codes")
    assert [(each["name"], each["status"], each["scans"]) for each in body["data"]] == [
        (None, None, 3),
        ("Poster", "deleted", 2),
        ("Menu", "active", 1),
    ]
    assert body["data"][1]["short_code"] == gone["short_code"]


async def test_filters_hold_for_every_report(api, account, code, scans):
    tagged = await api.create_code(account, tags=["fair"])
    await scans.add(account, tagged, AT, country="DE", device_type="mobile", city="Washington, D.C.")
    await scans.add(account, code, AT, AT, country="FR", device_type="tablet")
    await scans.add(account, code, AT, outcome="expired")
    filters = [
        ({"qr_id": tagged["id"]}, 1),
        ({"qr_id": f"{tagged['id']},{code['id']}"}, 3),
        ({"tag": "fair"}, 1),
        ({"tag": "unknown"}, 0),
        ({"country": "DE,FR"}, 3),
        ({"country": "DE", "device": "tablet"}, 0),
        ({"city": "Washington, D.C."}, 1),
        ({"city": ""}, 2),
        ({"outcome": "expired"}, 1),
    ]
    for query, expected in filters:
        for path, also in REPORTS.items():
            body = await report(api, account, f"analytics/{path}", **query, **also)
            assert body["total_scans"] == expected, (query, path)


async def test_reports_know_the_caller_s_workspace_only(api, account, code, scans):
    stranger = await api.create_account()
    await scans.add(account, code, AT, country="DE")
    for path, also in REPORTS.items():
        body = await report(api, stranger, f"analytics/{path}", qr_id=code["id"], **also)
        assert body["total_scans"] == 0
    assert (await report(api, stranger, "stats/daily-usage"))["total_scans"] == 0
    problem_of(await get(api, account, "admin/stats/overview"), 403, "admin_key_needed")


async def test_every_report_takes_what_says_which_scans_are_meant(api, account):
    asked = {"start": "2026-11-01", "end": "2026-11-03", "timezone": "Asia/Tokyo", "granularity": "hour"}
    for path, also in REPORTS.items():
        body = await report(api, account, f"analytics/{path}", **asked, include_bots=True, **also)
        assert (body["from"], body["timezone"]) == ("2026-10-31T15:00:00Z", "Asia/Tokyo")


WRONG = [
    ("breakdown", {}, "group_by"),
    ("breakdown", {"group_by": "workspace_id"}, "group_by"),
    ("timeseries", {"group_by": "ip"}, "group_by"),
    ("timeseries", {"top": 21}, "top"),
    ("overview", {"compare": "last"}, "compare"),
    ("overview", {"qr_id": "x"}, "qr_id"),
    ("overview", {"colour": "x"}, "colour"),
    ("top-codes", {"limit": 201}, "limit"),
    ("top-codes", {"start": "2026-11-02", "end": "2026-11-01"}, "from"),
    ("overview", {"os": "a\0b"}, "os"),
    ("overview", {"granularity": "minute"}, "granularity"),
    ("timeseries", {"start": "2026-01-01", "end": "2026-11-01", "granularity": "hour"}, "granularity"),
]


async def test_what_is_wrong_with_a_report_is_named(open_api, subtests):
    async with open_api() as api:
        account = await api.create_account()
        for path, query, name in WRONG:
            with subtests.test(path=path, query=query):
                assert bad_names(await get(api, account, f"analytics/{path}", **query)) == {name}


async def test_clickhouse_away_makes_every_report_unavailable(open_api):
    async with open_api() as api:
        account = await api.create_account()
        for path, also in REPORTS.items():
            problem_of(await get(api, account, f"analytics/{path}", **also), 503, "store_unavailable")
        problem_of(await get(api, account, "stats/daily-usage"), 503, "store_unavailable")
        problem_of(await api.client.get("/v1/admin/stats/overview", headers=ADMIN), 503, "store_unavailable")


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Etc/GMT+12"])
async def test_daily_usage_is_thirty_days_of_the_workspace_s_zone(api, account, code, scans, database, zone):
    """At any time one of the two has another date than UTC."""
    await database.execute("UPDATE workspaces SET timezone = $1", zone)
    now = datetime.now(UTC)
    await scans.add(account, code, now - timedelta(seconds=1), visitor=3)
    body = (await get(api, account, "stats/daily-usage")).json()
    today = now.astimezone(ZoneInfo(zone)).date()
    assert (body["timezone"], len(body["data"])) == (zone, 30)
    assert body["data"][-1] == {"date": today.isoformat(), "scans": 1, "visitors": 1, "qr_codes_created": 1}
    assert body["data"][0]["date"] == (today - timedelta(days=29)).isoformat()
    body = await report(api, account, "stats/daily-usage", start="2026-01-01", end="2026-01-03", timezone="UTC")
    assert [day["scans"] for day in body["data"]] == [0, 0]


async def test_the_platform_overview_counts_all_tenants(api, account, code, scans):
    other = await api.create_account()
    now = datetime.now(UTC)
    await scans.add(account, code, now, now, now - timedelta(days=6), now - timedelta(days=7))
    await scans.add(other, None, now - timedelta(days=20), now - timedelta(days=31))
    await scans.add(account, code, now, is_bot=True)
    body = (await api.client.get("/v1/admin/stats/overview", headers=ADMIN)).json()
    assert (body["users"], body["workspaces"], body["qr_codes"]) == (2, 2, {"active": 1})
    assert body["scans"] == {"today": 2, "last_7_days": 3, "last_30_days": 5}
    top = body["top_workspaces"]
    assert [each["workspace_id"] for each in top] == [account.workspace_id, other.workspace_id]
    assert top[0]["name"] == "user1"
    assert top[0]["scans"] == {"today": 2, "last_7_days": 3, "last_30_days": 4}
    assert body["newest_batch_at"] is None


ZONES = ("UTC", "Europe/Berlin", "Asia/Kolkata", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu")
FIRST = datetime(2026, 10, 20, tzinfo=UTC)
SCAN = st.tuples(
    st.integers(0, 14 * 24 * 60 - 1), st.sampled_from("abc"), st.sampled_from(["", "DE", "FR"]), st.booleans()
)


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(drawn=st.lists(SCAN, min_size=1, max_size=40), zone=st.sampled_from(ZONES))
async def test_raw_rollup_and_a_plain_count_agree(api, scans, drawn, zone):
    account = await api.create_account()
    ids = {name: UUID(int=number + 1) for number, name in enumerate("abc")}
    batch = [
        {
            "code": {"id": str(ids[name])},
            "at": FIRST + timedelta(minutes=minutes),
            "country": country,
            "outcome": "redirect" if counts else "expired",
        }
        for minutes, name, country, counts in drawn
    ]
    await scans.add_batch(account, batch)
    counted = [(scan["at"], scan["code"]["id"], scan["country"]) for scan in batch if scan["outcome"] == "redirect"]
    await _series_agrees(api, account, zone, [at for at, _, _ in counted])
    inside = [each for each in counted if date(2026, 10, 21) <= each[0].date() < date(2026, 10, 31)]
    for source in ("rollup", "raw"):
        asked = {"start": "2026-10-21", "end": "2026-10-31", "timezone": "UTC"}
        if source == "raw":  # the moment before midnight is nobody's, and the rollup knows no such bound
            asked["end"] = "2026-10-30T23:59:59.999Z"
        codes = await report(api, account, "analytics/top-codes", **asked)
        assert {each["qr_id"]: each["scans"] for each in codes["data"]} == _tally(qr_id for _, qr_id, _ in inside)
        shares = await report(api, account, "analytics/breakdown", group_by="country", **asked)
        assert {each["value"]: each["scans"] for each in shares["data"]} == _tally(country for *_, country in inside)
        assert codes["total_scans"] == shares["total_scans"] == len(inside)


async def _series_agrees(api, account, zone, moments):
    asked = {"start": "2026-10-20", "end": "2026-11-04", "timezone": zone}
    first, last = (datetime.fromisoformat(day).replace(tzinfo=ZoneInfo(zone)) for day in ("2026-10-20", "2026-11-04"))
    inside = [at.astimezone(ZoneInfo(zone)) for at in moments if first <= at < last]
    body = await report(api, account, "analytics/timeseries", **asked)
    found = {bucket["at"][:10]: bucket["scans"] for bucket in body["series"] if bucket["scans"]}
    assert found == _tally(at.date().isoformat() for at in inside)
    assert body["total_scans"] == len(inside)
    body = await report(api, account, "analytics/timeseries", granularity="hour", **asked)
    found = {datetime.fromisoformat(bucket["at"]): bucket["scans"] for bucket in body["series"] if bucket["scans"]}
    assert found == _tally(at.replace(minute=0, second=0).astimezone(UTC) for at in inside)


FROM_THE_ROLLUP, FROM_RAW = 4, 1
SOURCES = [
    ({"start": "2026-11-10", "end": "2026-11-12"}, FROM_THE_ROLLUP),
    ({"start": "2026-11-10"}, FROM_THE_ROLLUP),
    ({"start": "2026-11-10T00:00:00Z", "end": "2026-11-12T00:00:00Z"}, FROM_THE_ROLLUP),
    ({"start": "2026-11-10", "end": "2026-11-11T11:00:00Z"}, FROM_THE_ROLLUP),
    ({"start": "2026-11-09T23:00:00Z", "end": "2026-11-12T01:00:00Z"}, FROM_THE_ROLLUP + 2),
    ({"start": "2026-11-09T23:59:59.999Z", "end": "2026-11-12T00:00:00.001Z"}, FROM_THE_ROLLUP + 2),
    ({"start": "2026-11-10", "end": "2026-11-12", "timezone": "Europe/Berlin"}, FROM_THE_ROLLUP + 1),
    ({"start": "2026-11-10T01:00:00Z", "end": "2026-11-10T13:00:00Z"}, FROM_RAW),
    ({"start": "2026-11-10T01:00:00Z"}, FROM_RAW),
    ({"start": "2026-11-10", "end": "2026-11-12", "timezone": "America/New_York"}, FROM_RAW + 1),
    ({"start": "2026-11-10", "end": "2026-11-12", "include_bots": "true"}, FROM_RAW),
    ({"start": "2026-11-10", "end": "2026-11-12", "outcome": "redirect"}, FROM_RAW),
    ({"start": "2026-11-10", "end": "2026-11-12", "device": ""}, FROM_RAW),
]


async def test_whole_utc_days_come_from_the_rollup_and_the_rest_from_raw(open_api, clickhouse_url, scans, subtests):
    """Three scans more are planted in the rollup, and two in raw beside the period. A day that is not over is whole
    when it is asked about until now, and a clock never stands still."""
    seconds = itertools.count()
    noon = datetime(2026, 11, 11, 12, tzinfo=UTC)
    async with open_api(clock=lambda: noon + timedelta(seconds=next(seconds)), clickhouse_url=clickhouse_url) as api:
        account = await api.create_account()
        code = await api.create_code(account)
        await scans.add(account, code, AT, country="DE")
        await scans.add(account, code, "2026-11-09T23:59:59.999Z", "2026-11-12T00:00:00Z", country="DE")
        await scans.run(
            f"""INSERT INTO daily_aggregates (workspace_id, qr_id, date, scans, countries)
            VALUES ('{account.workspace_id}', '{code["id"]}', '2026-11-10', 3, map('DE', 3))"""
        )
        for query, expected in SOURCES:
            with subtests.test(query=query):
                for path in ("breakdown", "top-codes"):
                    also = {"group_by": "country"} if path == "breakdown" else {}
                    body = await report(api, account, f"analytics/{path}", **query, **also)
                    assert body["total_scans"] == body["data"][0]["scans"] == expected, path


def _tally(values):
    counts = {}
    for value in values:
        counts[value] = counts.get(value, 0) + 1
    return counts


async def test_a_tag_that_cannot_be_is_refused(api, account):
    for tag in ("%00", "%20", "a" * 201):
        answer = await api.client.get(f"/v1/analytics/overview?tag={tag}", headers=account.headers)
        assert bad_names(answer) == {"tag"}

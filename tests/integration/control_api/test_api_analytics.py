"""What is said of scans: which count, in which bucket, for whom."""

import itertools
from datetime import UTC, datetime, timedelta
from typing import get_args
from uuid import UUID

import asyncpg
import pytest

from control_api.analytics.model import Granularity
from scanhop.stores.clickhouse import ClickHouse
from tests.integration.control_api.api_client import bad_names, problem_of

COLUMNS = ["workspace_id", "qr_id", "scanned_at", "outcome", "is_bot", "visitor"]
DETAILS = ["country", "device_type", "os", "browser"]


class Scans:
    """Writes rows as ingest would."""

    def __init__(self, url):
        self._clickhouse = ClickHouse(url, timeout_s=10)

    async def add(self, account, code, *moments, outcome="redirect", bot=False, visitor=1, details=("", "", "", "")):
        rows = [
            [
                UUID(account.workspace_id),
                UUID(code["id"]),
                datetime.fromisoformat(at),
                outcome,
                bot,
                visitor,
                *details,
            ]
            for at in moments
        ]
        client = await self._clickhouse.client()
        await client.insert("qr_scan_events", rows, column_names=COLUMNS + DETAILS)

    async def close(self):
        await self._clickhouse.close()


@pytest.fixture
async def scans(clickhouse_url):
    written = Scans(clickhouse_url)
    yield written
    await written.close()


@pytest.fixture
async def api(open_api, clickhouse_url):
    async with open_api(clickhouse_url=clickhouse_url) as opened:
        yield opened


async def ask(api, account, code, **query):
    named = {"from" if name == "start" else "to" if name == "end" else name: value for name, value in query.items()}
    return await api.client.get(f"/v1/qr-codes/{code['id']}/analytics", headers=account.headers, params=named)


async def counts(api, account, code, **query):
    answer = await ask(api, account, code, **query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def busy(body):
    return {each["at"]: (each["scans"], each["visitors"]) for each in body["series"] if each["scans"]}


async def test_without_scans_the_last_30_days_are_there_with_zeros(api, account, code):
    body = await counts(api, account, code)
    start, end = datetime.fromisoformat(body["from"]), datetime.fromisoformat(body["to"])
    assert end - start == timedelta(days=30)
    assert abs(datetime.now(UTC) - end) < timedelta(seconds=20)
    assert (body["qr_id"], body["timezone"], body["granularity"]) == (code["id"], "UTC", "day")
    assert (body["total_scans"], body["unique_visitors"]) == (0, 0)
    assert [each["scans"] for each in body["series"]] == [0] * 31
    assert body["series"][0]["at"] == f"{start.date()}T00:00:00Z"
    assert body["countries"] == body["devices"] == body["os"] == body["browsers"] == []
    assert "UTC day" in body["unique_definition"]


async def test_only_redirects_of_people_count_unless_bots_are_asked_for(api, account, code, scans):
    await scans.add(account, code, "2026-11-01T10:00:00Z", "2026-11-01T11:00:00Z")
    await scans.add(account, code, "2026-11-01T12:00:00Z", bot=True, visitor=2)
    for outcome in ("deleted", "paused", "head", "unknown"):
        await scans.add(account, code, "2026-11-01T13:00:00Z", outcome=outcome, visitor=3)
    period = {"start": "2026-11-01", "end": "2026-11-02"}
    body = await counts(api, account, code, **period)
    assert (body["total_scans"], body["unique_visitors"]) == (2, 1)
    body = await counts(api, account, code, include_bots="true", **period)
    assert (body["total_scans"], body["unique_visitors"]) == (3, 2)


async def test_how_many_visited_does_not_hang_on_the_buckets_nor_on_the_zone(api, account, code, scans, subtests):
    """Two visitors on two UTC days each; between these lie the end of a week and of a month, within them midnights of
    other zones."""
    await scans.add(account, code, "2026-05-31T17:00:00Z", "2026-05-31T23:30:00Z", "2026-06-01T00:30:00Z", visitor=7)
    await scans.add(account, code, "2026-06-01T17:00:00Z", "2026-06-01T23:30:00Z", "2026-06-02T00:30:00Z", visitor=8)
    for zone, granularity in itertools.product(("UTC", "Asia/Kolkata", "Europe/Berlin"), get_args(Granularity)):
        with subtests.test(zone=zone, granularity=granularity):
            asked = {"start": "2026-05-30", "end": "2026-06-04", "timezone": zone, "granularity": granularity}
            body = await counts(api, account, code, **asked)
            assert (body["total_scans"], body["unique_visitors"]) == (6, 4)


async def test_a_visitor_counts_once_per_utc_day_and_an_unknown_one_never(api, account, code, scans):
    await scans.add(account, code, "2026-11-01T10:00:00Z", "2026-11-01T23:59:59Z", "2026-11-02T00:00:00Z", visitor=7)
    await scans.add(account, code, "2026-11-02T10:00:00Z", visitor=0)
    body = await counts(api, account, code, start="2026-11-01", end="2026-11-03")
    assert (body["total_scans"], body["unique_visitors"]) == (4, 2)
    assert busy(body) == {"2026-11-01T00:00:00Z": (2, 1), "2026-11-02T00:00:00Z": (2, 1)}


async def test_the_period_is_half_open(api, account, code, scans):
    await scans.add(
        account,
        code,
        "2026-10-31T23:59:59.999Z",
        "2026-11-01T00:00:00Z",
        "2026-11-01T23:59:59.999Z",
        "2026-11-02T00:00:00Z",
    )
    body = await counts(api, account, code, start="2026-11-01", end="2026-11-02")
    assert body["total_scans"] == 2
    assert (body["from"], body["to"]) == ("2026-11-01T00:00:00Z", "2026-11-02T00:00:00Z")
    body = await counts(api, account, code, start="2026-11-01T00:00:00Z", end="2026-11-01T23:59:59.999Z")
    assert body["total_scans"] == 1
    body = await counts(api, account, code, start="2026-11-01T00:00:00.0001Z", end="2026-11-01T23:59:59.9999Z")
    assert body["total_scans"] == 1


async def test_days_are_those_of_the_asked_zone_also_when_the_clocks_change(api, account, code, scans):
    await scans.add(
        account, code, "2026-10-24T21:59:59Z", "2026-10-24T22:00:00Z", "2026-10-25T22:59:59Z", "2026-10-25T23:00:00Z"
    )
    body = await counts(api, account, code, start="2026-10-24", end="2026-10-27", timezone="Europe/Berlin")
    assert [(each["at"], each["scans"]) for each in body["series"]] == [
        ("2026-10-24T00:00:00+02:00", 1),
        ("2026-10-25T00:00:00+02:00", 2),
        ("2026-10-26T00:00:00+01:00", 1),
    ]
    assert (body["from"], body["to"]) == ("2026-10-23T22:00:00Z", "2026-10-26T23:00:00Z")


async def test_the_hour_that_comes_twice_is_two_hours(api, account, code, scans):
    await scans.add(account, code, "2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z", "2026-10-25T01:45:00Z")
    body = await counts(
        api, account, code, start="2026-10-25", end="2026-10-26", timezone="Europe/Berlin", granularity="hour"
    )
    assert len(body["series"]) == 25
    assert busy(body) == {"2026-10-25T02:00:00+02:00": (1, 1), "2026-10-25T02:00:00+01:00": (2, 1)}


async def test_hours_of_a_zone_beside_the_full_hour_begin_at_its_own(api, account, code, scans):
    await scans.add(account, code, "2026-11-01T10:29:59Z", "2026-11-01T10:30:00Z")
    body = await counts(
        api, account, code, start="2026-11-01", end="2026-11-02", timezone="Asia/Kolkata", granularity="hour"
    )
    assert busy(body) == {"2026-11-01T15:00:00+05:30": (1, 1), "2026-11-01T16:00:00+05:30": (1, 1)}


async def test_weeks_and_months(api, account, code, scans):
    await scans.add(
        account, code, "2026-10-31T23:00:00Z", "2026-11-01T23:00:00Z", "2026-11-02T00:00:00Z", "2026-11-08T12:00:00Z"
    )
    weeks = await counts(api, account, code, start="2026-10-26", end="2026-11-16", granularity="week")
    assert [(each["at"][:10], each["scans"]) for each in weeks["series"]] == [
        ("2026-10-26", 2),
        ("2026-11-02", 2),
        ("2026-11-09", 0),
    ]
    months = await counts(api, account, code, start="2026-10-15", end="2026-12-01", granularity="month")
    assert [(each["at"][:10], each["scans"]) for each in months["series"]] == [("2026-10-01", 1), ("2026-11-01", 3)]


async def test_scans_are_broken_down_largest_first(api, account, code, scans):
    moment = "2026-11-01T10:00:00Z"
    await scans.add(account, code, moment, moment, details=("DE", "phone", "iOS", "Safari"))
    await scans.add(account, code, moment, details=("FR", "phone", "Android", "Chrome"))
    await scans.add(account, code, moment, details=("", "tablet", "iOS", "Safari"))
    await scans.add(account, code, moment, bot=True, details=("US", "bot", "x", "y"))
    body = await counts(api, account, code, start="2026-11-01", end="2026-11-02")
    assert body["countries"] == [
        {"value": "DE", "scans": 2},
        {"value": "", "scans": 1},
        {"value": "FR", "scans": 1},
    ]
    assert body["devices"] == [{"value": "phone", "scans": 3}, {"value": "tablet", "scans": 1}]
    assert body["os"] == [{"value": "iOS", "scans": 3}, {"value": "Android", "scans": 1}]
    assert body["browsers"] == [{"value": "Safari", "scans": 3}, {"value": "Chrome", "scans": 1}]


async def test_the_scans_of_other_codes_and_other_tenants_do_not_count(api, account, code, scans):
    other_code = await api.create_code(account)
    stranger = await api.create_account()
    await scans.add(account, other_code, "2026-11-01T10:00:00Z")
    await scans.add(stranger, code, "2026-11-01T10:00:00Z")
    body = await counts(api, account, code, start="2026-11-01", end="2026-11-02")
    assert body["total_scans"] == 0
    problem_of(await ask(api, stranger, code), 404, "not_found")


WRONG = [
    ({"start": "yesterday"}, "from"),
    ({"end": "2026-13-01"}, "to"),
    ({"start": "2026-11-02", "end": "2026-11-02"}, "from"),
    ({"start": "2026-11-03", "end": "2026-11-02"}, "from"),
    ({"start": "2001-01-01", "end": "2026-11-02"}, "from"),
    ({"start": "0001-01-01"}, "from"),
    ({"end": "9999-12-31"}, "to"),
    ({"timezone": "Mars/Phobos"}, "timezone"),
    ({"timezone": "UTC'); DROP TABLE qr_scan_events; --"}, "timezone"),
    ({"timezone": "\x00"}, "timezone"),
    ({"granularity": "minute"}, "granularity"),
    ({"start": "2026-01-01", "end": "2026-11-01", "granularity": "hour"}, "granularity"),
    ({"include_bots": "perhaps"}, "include_bots"),
]


async def test_what_is_wrong_with_a_question_is_named(open_api, subtests):
    async with open_api() as api:
        account = await api.create_account()
        code = await api.create_code(account)
        for query, name in WRONG:
            with subtests.test(query=query):
                assert bad_names(await ask(api, account, code, **query)) == {name}


async def test_clickhouse_away_is_unavailable(open_api):
    async with open_api() as api:
        account = await api.create_account()
        answer = await ask(api, account, await api.create_code(account))
    problem_of(answer, 503, "store_unavailable")
    assert int(answer.headers["retry-after"]) > 0


async def test_the_zone_of_the_workspace_is_the_default(api, account, code, postgres_dsn):
    connection = await asyncpg.connect(postgres_dsn)
    await connection.execute("UPDATE workspaces SET timezone = 'America/New_York'")
    await connection.close()
    body = await counts(api, account, code, start="2026-07-01", end="2026-07-02")
    assert body["timezone"] == "America/New_York"
    assert body["series"][0]["at"] == "2026-07-01T00:00:00-04:00"


async def test_a_parameter_that_is_not_known_is_refused_and_not_ignored(api):
    account = await api.create_account()
    code = await api.create_code(account)
    for query in ("country=DE", "group_by=os", "foo=bar", "from=2026-01-01&from=2026-01-02"):
        answer = await api.client.get(f"/v1/qr-codes/{code['id']}/analytics?{query}", headers=account.headers)
        assert answer.status_code == 422, query
        assert answer.json()["invalid_parameters"][0]["name"] == query.partition("=")[0]


async def test_a_clickhouse_that_is_not_migrated_is_unavailable(open_api, stack):
    async with open_api(clickhouse_url=stack.clickhouse_url) as api:
        account = await api.create_account()
        code = await api.create_code(account)
        answer = await api.client.get(f"/v1/qr-codes/{code['id']}/analytics", headers=account.headers)
        assert (answer.status_code, answer.json()["code"]) == (503, "store_unavailable")

"""How Postgres finds a page of a workspace with many codes: by what it reads, not by how long it takes."""

import json
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from control_api.qr_codes.model import Search
from control_api.qr_codes.repository import QrCodeRepository
from control_api.web.paging import SortCursor, SortedPageRequest

CODES = 20_000
SOME = CODES // 2
LIMIT = 20
WORKSPACE = UUID("00000000-0000-7000-8000-00000000000a")
PROJECT = UUID("00000000-0000-7000-8000-00000000000b")
DOMAIN_HOST = "qr.acme.example"
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
FILL = """
INSERT INTO workspaces (id, name) VALUES ('{workspace}', 'Many'), ('00000000-0000-7000-8000-00000000000c', 'Other');
INSERT INTO projects (id, workspace_id, name) VALUES ('{project}', '{workspace}', 'P');
INSERT INTO domains (id, workspace_id, host) VALUES ('00000000-0000-7000-8000-00000000000d', '{workspace}', '{host}');
INSERT INTO qr_codes (id, workspace_id, project_id, domain_id, short_code, name, target_url, tags, status, created_at,
                      updated_at)
SELECT ('00000000-0000-7000-9000-' || lpad(to_hex(n), 12, '0'))::uuid,
       '{workspace}',
       CASE WHEN n % 250 > 0 THEN '{project}'::uuid END,
       CASE WHEN n % 500 = 0 THEN '00000000-0000-7000-8000-00000000000d'
            ELSE '00000000-0000-7000-8000-000000000001' END::uuid,
       'c' || n, 'Code ' || md5(n::text), 'https://example.com/' || n,
       CASE WHEN n % 1000 = 0 THEN '{{common,rare}}'::text[] ELSE '{{common}}' END,
       CASE WHEN n % 1000 = 7 THEN 'banned' WHEN n % 10 = 3 THEN 'archived' ELSE 'active' END,
       '2026-01-01T00:00:00Z'::timestamptz + n * interval '1 minute',
       '2026-01-01T00:00:00Z'::timestamptz + n * 7919 % {codes} * interval '1 minute'
FROM generate_series(1, {codes}) n;
INSERT INTO qr_codes (id, workspace_id, domain_id, short_code, name, target_url)
SELECT ('00000000-0000-7000-a000-' || lpad(to_hex(n), 12, '0'))::uuid, '00000000-0000-7000-8000-00000000000c',
       '00000000-0000-7000-8000-000000000001', 'o' || n, 'Code', 'https://example.com/'
FROM generate_series(1, {codes}) n;
"""
SEARCHES = {
    "all": Search(),
    "active": Search(status="active"),
    "archived": Search(status="archived"),
    "banned": Search(status="banned"),
    "deleted": Search(status="deleted"),
    "a common tag": Search(tags=("common",)),
    "a rare tag": Search(tags=("rare",)),
    "no such tag": Search(tags=("none",)),
    "a project": Search(project_id=PROJECT),
    "no project": Search(in_no_project=True),
    "a domain": Search(domain=DOMAIN_HOST),
    "the default domain": Search(domain=""),
    "a type": Search(type="url"),
    "new": Search(created_from=BEGAN + timedelta(minutes=CODES - 100)),
    "old": Search(created_to=BEGAN + timedelta(minutes=100)),
    "lately changed": Search(updated_from=BEGAN + timedelta(minutes=CODES - 100)),
    "long unchanged": Search(updated_to=BEGAN + timedelta(minutes=100)),
    "a rare tag that is new": Search(tags=("rare",), created_from=BEGAN + timedelta(minutes=CODES - 5000)),
    "banned in a project": Search(status="banned", project_id=PROJECT),
}
ORDERS = [(sort, is_descending) for sort in ("created_at", "updated_at", "name") for is_descending in (False, True)]


class Explaining:
    """A connection that answers nothing and keeps the plans of what it is asked for, with what they read."""

    def __init__(self, connection):
        self._connection = connection
        self._statement = ""
        self.plans = []

    async def prepare(self, statement, **_):
        self._statement = statement
        return self

    async def fetch(self, *values):
        plan = await self._connection.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {self._statement}", *values)
        self.plans.append(json.loads(plan)[0]["Plan"])
        return []

    async def fetchval(self, statement, *values):
        return await self._connection.fetchval(statement, *values)


@pytest.fixture
async def filled(database):
    await database.execute(
        FILL.format(workspace=WORKSPACE, project=PROJECT, host=DOMAIN_HOST, codes=CODES)
        + "ALTER TABLE qr_codes SET (autovacuum_enabled = off)"
    )
    yield database
    await database.execute("ALTER TABLE qr_codes RESET (autovacuum_enabled)")


async def plan_of(connection, search, sort, is_descending, after=None):
    explaining = Explaining(connection)
    page = SortedPageRequest(LIMIT, sort, is_descending, after, b"codes")
    await QrCodeRepository().search(explaining, WORKSPACE, search, page)
    [plan] = explaining.plans
    return plan


def nodes_of(plan):
    yield plan
    for child in plan.get("Plans", ()):
        if child["Parent Relationship"] != "SubPlan":  # the host of each code on the page
            yield from nodes_of(child)


def rows_read(plan):
    return sum(
        node["Actual Rows"] + node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
        for node in nodes_of(plan)
        if "Relation Name" in node
    )


async def test_a_page_reads_a_part_of_the_workspace_whatever_it_is_narrowed_and_sorted_by(filled, subtests):
    await filled.execute("ANALYZE qr_codes")
    for sort, is_descending in ORDERS:
        for name, search in SEARCHES.items():
            with subtests.test(f"{name} by {sort}{' desc' if is_descending else ''}"):
                plan = await plan_of(filled, search, sort, is_descending)
                assert "Seq Scan" not in [node["Node Type"] for node in nodes_of(plan)]
                assert rows_read(plan) <= SOME, plan


async def test_without_statistics_too_the_list_is_read_off_its_index(filled, subtests):
    """As after many codes were created, before Postgres has looked at them."""
    await filled.execute("DELETE FROM pg_statistic WHERE starelid = 'qr_codes'::regclass")
    await filled.execute("SELECT pg_clear_relation_stats(current_schema, 'qr_codes')")
    afters = {
        "created_at": BEGAN + timedelta(minutes=CODES // 2),
        "updated_at": BEGAN + timedelta(minutes=CODES // 2),
        "name": "code 8",
    }
    for sort, is_descending in ORDERS:
        for after in (None, SortCursor(afters[sort], WORKSPACE)):
            with subtests.test(f"{sort}{' desc' if is_descending else ''}{' on' if after else ''}"):
                plan = await plan_of(filled, Search(), sort, is_descending, after)
                assert [node["Node Type"] for node in nodes_of(plan)] == ["Limit", "Index Scan"]
                assert rows_read(plan) <= SOME


async def test_no_plan_is_kept_for_other_filters(filled):
    """Postgres would keep one from the sixth call on, which fits all values alike, and none well."""
    await filled.execute("ANALYZE qr_codes")
    page = SortedPageRequest(LIMIT, "created_at", True, None, b"codes")
    for _ in range(8):
        await QrCodeRepository().search(filled, WORKSPACE, Search(text="7777"), page)
    kept = "SELECT coalesce(sum(generic_plans), 0) FROM pg_prepared_statements WHERE statement LIKE $1"
    assert await filled.fetchval(kept, "%sort_key%") == 0

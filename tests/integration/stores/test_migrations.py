import asyncio

import asyncpg
import clickhouse_connect
import pytest

from scanhop.stores import migrations
from scanhop.stores.migrations import EditedMigration, Step, migrate
from tests.databases import new_databases


@pytest.fixture
def empty(stack, database_numbers):
    return new_databases(stack, f"migrations_{next(database_numbers)}")


async def test_a_dry_run_says_what_would_run_and_changes_nothing(empty):
    dsn, url = empty
    steps = await migrate(dsn, url, dry_run=True)
    assert Step("postgres", "v0001_initial") in steps
    assert Step("jobs", "install") in steps
    assert Step("clickhouse", "0001_scans") in steps
    assert await migrate(dsn, url, dry_run=True) == steps


async def test_a_second_run_has_nothing_to_do(empty):
    await migrate(*empty)
    assert await migrate(*empty) == []


async def test_concurrent_runs_do_the_work_once(empty):
    results = await asyncio.gather(*(asyncio.to_thread(asyncio.run, migrate(*empty)) for _ in range(3)))
    assert sorted(len(steps) for steps in results)[:2] == [0, 0]
    assert max(len(steps) for steps in results) >= 3


async def test_a_clickhouse_migration_that_was_cut_off_is_run_again(empty, monkeypatch):
    dsn, url = empty
    whole = migrations._ClickHouseMigration.statements
    monkeypatch.setattr(
        migrations._ClickHouseMigration, "statements", lambda self: [*whole(self)[:2], "SELECT no_such_column"]
    )
    with pytest.raises(migrations.StoreRejected, match="0001_scans"):
        await migrate(dsn, url)
    monkeypatch.undo()
    assert (await migrate(dsn, url))[0] == Step("clickhouse", "0001_scans")
    client = await clickhouse_connect.get_async_client(dsn=url)
    try:
        states = await client.query("SELECT state FROM schema_migrations WHERE version = '0001_scans' ORDER BY at")
        assert [row[0] for row in states.result_rows] == ["started", "started", "done"]
    finally:
        await client.close()


async def test_a_migration_that_was_edited_after_it_ran_is_refused(empty, monkeypatch):
    await migrate(*empty)
    monkeypatch.setattr(migrations._ClickHouseMigration, "checksum", "another")
    with pytest.raises(EditedMigration, match="0001_scans"):
        await migrate(*empty)


async def test_the_default_domain_has_its_fixed_id(postgres_dsn):
    connection = await asyncpg.connect(postgres_dsn)
    try:
        ids = await connection.fetch("SELECT id::text, host FROM domains")
        assert [tuple(row) for row in ids] == [("00000000-0000-7000-8000-000000000001", None)]
    finally:
        await connection.close()

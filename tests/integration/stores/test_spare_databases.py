"""What one test did to its Postgres database, the next does not see."""

import psycopg
import pytest

from tests.databases import run_on_postgres, run_postgres
from tests.spare_databases import SpareDatabases

ROWS = "SELECT (SELECT count(*) FROM users), (SELECT array_agg(d) FROM domains d)"


@pytest.fixture
def databases(stack, postgres_template):
    return SpareDatabases(stack.postgres_dsn, postgres_template.rpartition("/")[2])


def rows(dsn):
    return run_on_postgres(dsn, lambda connection: connection.fetchrow(ROWS))


def test_a_database_comes_back_with_the_rows_of_the_template(databases):
    dsn = databases.take()
    first = rows(dsn)
    run_postgres(
        dsn, "INSERT INTO users (id, email) VALUES (gen_random_uuid(), 'a@example.com'); DELETE FROM domains"
    )
    assert rows(dsn) != first
    databases.give_back(dsn)
    assert databases.take() == dsn
    assert rows(dsn) == first
    databases.give_back(dsn)


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE users RENAME TO elsewhere",
        "ALTER TABLE users ADD COLUMN age int",
        "DROP TABLE scan_counts",
        "CREATE TABLE another (n int)",
        "ALTER TABLE users DISABLE TRIGGER ALL",
        "CREATE OR REPLACE FUNCTION one() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    ],
)
def test_a_database_whose_schema_was_changed_does_not_come_back(databases, change):
    dsn = databases.take()
    run_postgres(dsn, change)
    databases.give_back(dsn)
    following = databases.take()
    assert following != dsn
    databases.give_back(following)


def test_a_connection_left_open_holds_up_nothing(databases):
    dsn = databases.take()
    with psycopg.connect(dsn) as connection:
        connection.execute("LOCK TABLE users")
        databases.give_back(dsn)
        assert databases.take() == dsn
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
    databases.give_back(dsn)

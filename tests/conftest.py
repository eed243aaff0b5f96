"""One embedded stack for the whole run; a database of its own for each test that asks for one."""

import asyncio
import itertools
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch
from urllib.parse import urlsplit

import pytest
import redis

from scanhop.devstack import EmbeddedStack, StackAddresses, postgres
from scanhop.stores.migrations import migrate
from tests.databases import new_clickhouse_database, new_databases, run_clickhouse
from tests.spare_databases import SpareDatabases

TEMPLATE = "scanhop_template"


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackAddresses]:
    """Real engines, empty. This Postgres does not fsync: no test cuts its power, and most make a database."""
    running = EmbeddedStack(tmp_path_factory.mktemp("stack"))
    with patch.dict(postgres.SETTINGS, fsync="off"):
        running.start()
    yield running.addresses
    running.stop()


@pytest.fixture(scope="session")
def postgres_template(stack: StackAddresses) -> str:
    """The DSN of a migrated Postgres database that tests' databases are copied from."""
    dsn, clickhouse_url = new_databases(stack, TEMPLATE)
    asyncio.run(migrate(dsn, clickhouse_url))
    return dsn


@pytest.fixture(scope="session")
def database_numbers() -> Iterator[int]:
    return itertools.count(1)


@pytest.fixture(scope="session")
def spare_databases(stack: StackAddresses, postgres_template: str) -> SpareDatabases:
    assert stack.postgres_dsn is not None
    return SpareDatabases(stack.postgres_dsn, TEMPLATE)


@pytest.fixture
def postgres_dsn(spare_databases: SpareDatabases) -> Iterator[str]:
    """A migrated Postgres database of the test's own."""
    dsn = spare_databases.take()
    yield dsn
    spare_databases.give_back(dsn)


@pytest.fixture
def redis_url(stack: StackAddresses) -> str:
    """The stack's Redis, flushed."""
    assert stack.redis_url is not None
    with redis.Redis.from_url(stack.redis_url) as client:
        client.flushall()
    return stack.redis_url


@pytest.fixture
def clickhouse_url(stack: StackAddresses, postgres_template: str, database_numbers: Iterator[int]) -> Iterator[str]:
    """A migrated ClickHouse database of the test's own."""
    url = new_clickhouse_database(stack, f"test_{next(database_numbers)}")
    asyncio.run(migrate(postgres_template, url))
    yield url
    run_clickhouse(stack.clickhouse_url, f"DROP DATABASE {urlsplit(url).path.strip('/')}")


@pytest.fixture
def spool_root(tmp_path: Path) -> Path:
    root = tmp_path / "spool"
    root.mkdir()
    return root

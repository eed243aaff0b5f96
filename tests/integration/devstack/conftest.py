"""One stack for this folder, and clients on its ClickHouse."""

import itertools
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import clickhouse_connect
import pytest
from clickhouse_connect.driver import AsyncClient
from clickhouse_connect.driver.client import Client

from scanhop.devstack import EmbeddedStack

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedStack]:
    with EmbeddedStack(tmp_path_factory.mktemp("devstack")) as stack:
        yield stack


@pytest.fixture(scope="session")
def front_url(embedded: EmbeddedStack) -> str:
    assert embedded.addresses.clickhouse_url is not None
    return embedded.addresses.clickhouse_url


@pytest.fixture
def client(front_url: str) -> Iterator[Client]:
    with clickhouse_connect.get_client(dsn=front_url) as connected:
        yield connected


@pytest.fixture
async def async_client(front_url: str) -> AsyncIterator[AsyncClient]:
    async with await clickhouse_connect.get_async_client(dsn=front_url) as connected:
        yield connected


@pytest.fixture
def table(client: Client) -> Iterator[str]:
    """A table (id UInt64, name String) with a deduplication window."""
    name = f"table_{next(_numbers)}"
    client.command(
        f"CREATE TABLE {name} (id UInt64, name String) ENGINE = MergeTree ORDER BY id "
        "SETTINGS non_replicated_deduplication_window = 1000"
    )
    yield name
    client.command(f"DROP TABLE {name}")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """For a stack of the test's own."""
    return tmp_path / "data"

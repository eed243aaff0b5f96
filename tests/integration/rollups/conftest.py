import pytest

from scanhop.rollups.statements import Statements
from scanhop.stores.clickhouse import ClickHouse
from tests.batches import Warehouse


@pytest.fixture
def warehouse(clickhouse_url):
    found = Warehouse(clickhouse_url)
    yield found
    found.close()


@pytest.fixture
async def statements(clickhouse_url):
    clickhouse = ClickHouse(clickhouse_url, timeout_s=60)
    yield Statements(clickhouse)
    await clickhouse.close()


@pytest.fixture
def no_pause():
    """Looks follow each other at once."""

    async def pause(seconds: float) -> None:
        assert seconds > 0

    return pause

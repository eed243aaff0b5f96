import asyncio
import gc
from collections.abc import Iterator

import pytest

from edge import resources
from edge.resources import freeze_when_warm


@pytest.fixture
def collector() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*before)


async def test_what_is_there_is_frozen_at_the_start_and_when_it_is_warm(collector, monkeypatch):
    monkeypatch.setattr(resources, "WARM_UP_S", 0.01)
    gc.unfreeze()
    freezing = asyncio.create_task(freeze_when_warm())
    await asyncio.sleep(0)
    at_start = gc.get_freeze_count()
    kept = [[] for _ in range(100)]
    await freezing
    assert 0 < at_start < gc.get_freeze_count()
    assert gc.get_threshold() == resources.GC_THRESHOLDS
    assert kept

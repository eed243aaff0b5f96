import asyncio

import pytest

from edge.domains import Domains
from edge.invalidation import RouteFollower
from scanhop.stores.invalidations import Invalidations


class Swallowing:
    """Stands where the stores stand: the first look begins, and is not ended by being cancelled."""

    def __init__(self) -> None:
        self.began = asyncio.Event()

    async def find_domains(self) -> list[object]:
        self.began.set()
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            return []
        return []


async def test_a_worker_that_is_ended_ends_though_a_client_library_swallows_it():
    store = Swallowing()
    follower = RouteFollower(None, Domains(), None, store, None)
    following = asyncio.create_task(follower.follow_domains())
    await store.began.wait()
    following.cancel()
    await asyncio.wait([following], timeout=10)
    assert following.cancelled()


@pytest.mark.xfail(
    strict=True, reason="Invalidations.follow goes on: the errors of a TaskGroup hide its cancellation"
)
async def test_a_worker_that_is_ended_ends_though_the_connection_to_redis_breaks_at_that_moment(monkeypatch):
    began = asyncio.Event()

    async def break_at_the_end() -> None:
        began.set()
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            raise ConnectionError from None

    async def run(self: object) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(break_at_the_end())

    monkeypatch.setattr("scanhop.stores.invalidations._Session.run", run)
    monkeypatch.setattr("scanhop.stores.invalidations._Session.__init__", lambda self, *_: None)
    monkeypatch.setattr("scanhop.stores.invalidations._Session.was_alive", False, raising=False)
    following = asyncio.create_task(Invalidations("redis://127.0.0.1:1").follow(None))
    await began.wait()
    following.cancel()
    await asyncio.wait([following], timeout=1)
    was_cancelled = following.cancelled()
    following.cancel()
    await asyncio.wait([following], timeout=1)
    assert was_cancelled

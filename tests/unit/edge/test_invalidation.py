import asyncio

from edge.domains import Domains
from edge.invalidation import RouteFollower


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

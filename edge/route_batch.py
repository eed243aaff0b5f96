"""Reads from Redis what one loop tick asks for, in one round trip."""

import asyncio

from scanhop.stores.errors import StoreError
from scanhop.stores.routes import RouteCache
from scanhop.wire.route import Route

Key = tuple[bytes, str]


class RouteBatch:
    """A code that is asked for twice in one tick is the caller's to join."""

    def __init__(self, redis: RouteCache) -> None:
        self._redis = redis
        self._waiting: dict[Key, asyncio.Future[Route | None]] = {}
        self._reading: set[asyncio.Task[None]] = set()

    async def find_route(self, key: Key) -> Route | None:
        """None: Redis has none. Raises StoreError."""
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_soon(self._start)
        asked: asyncio.Future[Route | None] = loop.create_future()
        self._waiting[key] = asked
        return await asked

    def _start(self) -> None:
        waiting, self._waiting = self._waiting, {}
        task = asyncio.create_task(self._read(waiting))
        self._reading.add(task)
        task.add_done_callback(self._reading.discard)

    async def _read(self, waiting: "dict[Key, asyncio.Future[Route | None]]") -> None:
        try:
            routes = await self._redis.list_routes(list(waiting))
        except StoreError as error:
            for asked in waiting.values():
                if not asked.done():
                    asked.set_exception(error)
            return
        for asked, route in zip(waiting.values(), routes, strict=True):
            if not asked.done():
                asked.set_result(route)

"""Hearing of every change of a route or of the domains, by Redis' client tracking in broadcast mode.

One connection of its own, which reads all the time. Invariants for the listener:
- What Redis did earlier is told earlier.
- `on_connected` comes first: what was known before may be stale, nothing is missed from here on.
- `on_published(n)`: every change up to the n-th that Redis counted has been told. Redis sends what a tick of its loop
  changed after that tick's replies, so this is known when a request made after the reply is answered as well.
- `on_disconnected` follows `on_connected`, whatever the reason: changes are missed from an unknown moment on.

Redis tells of these keys in its other databases too: such a call means a look that was not needed. A connection is
given up when it ends, or when a heartbeat is not answered within HEARTBEAT_TIMEOUT_S, which also notices a server
that hangs and a network that swallows packets; then it is made anew, for as long as it takes.
"""

import asyncio
import re
from collections.abc import Sequence
from typing import Any, Protocol

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import RedisError

from scanhop.stores.cancellation import is_cancelled
from scanhop.stores.redis import new_connection
from scanhop.telemetry.logs import get_logger
from scanhop.wire.redis_keys import DOMAINS_KEY, PUBLISHED_KEY, ROUTE_PREFIX, parse_route_key

CONNECT_TIMEOUT_S = 2.0
HEARTBEAT_S = 1.0
HEARTBEAT_TIMEOUT_S = 1.0
FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 1.0

_TRACK = ("CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", ROUTE_PREFIX, "PREFIX", DOMAINS_KEY)
_DOMAINS = DOMAINS_KEY.encode()
_RUN_ID = re.compile(rb"^run_id:(\w+)", re.MULTILINE)

_log = get_logger()


class Listener(Protocol):
    """Who is told. The calls must not block."""

    def on_connected(self, run_id: str) -> None: ...

    def on_disconnected(self) -> None: ...

    def on_codes(self, codes: list[tuple[bytes, str]]) -> None: ...

    def on_domains(self) -> None: ...

    def on_everything(self) -> None: ...

    def on_published(self, number: int) -> None: ...


class Invalidations:
    def __init__(self, redis_url: str) -> None:
        self._url = redis_url

    async def follow(self, listener: Listener) -> None:
        """Runs until cancelled."""
        pause_s = FIRST_PAUSE_S
        while True:
            session = _Session(new_connection(self._url, _unpack, connect_timeout_s=CONNECT_TIMEOUT_S), listener)
            try:
                await session.run()
            except* (RedisError, OSError, TimeoutError) as group:
                if session.was_alive or pause_s == FIRST_PAUSE_S:
                    _log.warning("invalidations_lost", error=_describe(group))
            if is_cancelled():
                raise asyncio.CancelledError
            pause_s = FIRST_PAUSE_S if session.was_alive else min(2 * pause_s, LONGEST_PAUSE_S)
            await asyncio.sleep(pause_s)


class _Invalidated:
    """The keys of one push; None: all of them."""

    def __init__(self, keys: Sequence[bytes] | None) -> None:
        self.keys = keys


class _Session:
    """One connection, until it is given up. `was_alive`: a heartbeat of it was answered."""

    def __init__(self, connection: AbstractConnection, listener: Listener) -> None:
        self._connection = connection
        self._listener = listener
        self._replies: asyncio.Queue[Any] = asyncio.Queue()
        self._is_open = False
        self.was_alive = False

    async def run(self) -> None:
        """Raises an ExceptionGroup of what ended it."""
        try:
            async with asyncio.TaskGroup() as tasks:
                async with asyncio.timeout(CONNECT_TIMEOUT_S):
                    await self._connection.connect()  # type: ignore[no-untyped-call]
                    tasks.create_task(self._read())
                    await self._open()
                await self._beat()
        finally:
            if self._is_open:
                self._listener.on_disconnected()
            await self._connection.disconnect(nowait=True)

    async def _open(self) -> None:
        await self._ask(*_TRACK)
        found = _RUN_ID.search(await self._ask("INFO", "server"))
        if found is None:
            raise ConnectionError("the server does not tell its run id")
        _log.info("invalidations_followed", run_id=found[1].decode())
        self._is_open = True
        self._listener.on_connected(found[1].decode())

    async def _beat(self) -> None:
        while True:
            async with asyncio.timeout(HEARTBEAT_TIMEOUT_S):
                published = await self._ask("GET", PUBLISHED_KEY)
                await self._ask("PING")
            self.was_alive = True
            self._listener.on_published(int(published or 0))
            await asyncio.sleep(HEARTBEAT_S)

    async def _ask(self, *command: str) -> Any:
        await self._connection.send_command(*command)
        return await self._replies.get()

    async def _read(self) -> None:
        """Pushes are asked for one by one: the parser would nest a call for each that it passes over."""
        while True:
            message = await self._connection.read_response(push_request=True, disconnect_on_error=False)
            if not isinstance(message, _Invalidated):
                self._replies.put_nowait(message)
            elif self._is_open:
                self._tell(message.keys)

    def _tell(self, keys: Sequence[bytes] | None) -> None:
        if keys is None:
            self._listener.on_everything()
            return
        codes = [parsed for key in keys if (parsed := parse_route_key(key)) is not None]
        if codes:
            self._listener.on_codes(codes)
        if _DOMAINS in keys:
            self._listener.on_domains()


async def _unpack(push: Sequence[Any]) -> _Invalidated:
    return _Invalidated(push[1])


def _describe(group: BaseExceptionGroup[Any]) -> str:
    errors = group.exceptions
    while len(errors) == 1 and isinstance(errors[0], BaseExceptionGroup):
        errors = errors[0].exceptions
    return "; ".join(str(error) or type(error).__name__ for error in errors)

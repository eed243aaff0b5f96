"""Routes of codes where every process finds them: the truth in Postgres, a copy of each in Redis.

Owns the keys `route:*`. Invariants:
- A key holds the newest version ever put there, or nothing: versions are compared inside Redis, and a newer one that
  Redis has no memory for takes the older one and the completeness marker away.
- Putting what is there already writes nothing (a write would make every edge forget its own copy). Each write counts
  up `published`, in the same step.
- A deleted code keeps its route, with the status "deleted" and a version: a tombstone.
- A code whose row cannot be a route keeps the route it had; where there was none its key holds UNREADABLE, which no
  reader can decode. So a key that is missing while Redis holds everything is a code that nobody has; bytes that
  cannot be decoded mean "ask Postgres".
- Keys have no expiry. Redis may be flushed at any time; readers then fall back to Postgres.
"""

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast
from uuid import UUID

from scanhop.routing.compilation import UncompilableRoute, compile_route
from scanhop.stores.postgres import Postgres
from scanhop.stores.redis import Redis, redis_errors
from scanhop.stores.sql import load_queries
from scanhop.wire.redis_keys import PUBLISHED_KEY, ROUTES_COMPLETE_KEY, ROUTES_PUBLISHER_KEY, route_key
from scanhop.wire.route import Route, encode_route

UNREADABLE = b""

# A value begins with its format (u8) and version (u64). An equal version with other bytes is replaced: another
# version of this program compiled it, and may have known less of the code. KEYS: the counter, the marker, the claim
# of who is about to set it, then a key per value. What cannot be stored (no memory is left) must not leave an older
# version behind, which readers would go on to believe: the key goes, the marker with it, so that they ask Postgres.
_PUT_IF_NEWER = """
local written, failure = 0, nil
for i, value in ipairs(ARGV) do
    local key, is_newer = KEYS[i + 3], true
    local held = redis.call('GET', key)
    if held and #held >= 9 then
        local _, version = struct.unpack('>BI8', held)
        local _, new_version = struct.unpack('>BI8', value)
        is_newer = version <= new_version and held ~= value
    end
    if is_newer then
        local stored = redis.pcall('SET', key, value)
        if stored.err then
            failure = stored
            redis.pcall('DEL', key, KEYS[2], KEYS[3])
        else
            written = written + 1
        end
    end
end
if written > 0 then
    redis.pcall('INCRBY', KEYS[1], written)
end
return failure or written
"""

_PUT_IF_MISSING = """
local written = 0
for i = 2, #KEYS do
    written = written + redis.call('SETNX', KEYS[i], ARGV[1])
end
if written > 0 then
    redis.call('INCRBY', KEYS[1], written)
end
return written
"""


class RouteBatchAnswer(NamedTuple):
    """`routes`: the bytes under each key, None where there is none. `is_complete`: such a code does not exist."""

    routes: list[bytes | None]
    is_complete: bool


@dataclass(frozen=True)
class UnreadableRow:
    """A code whose row cannot be a route, and why."""

    domain_id: bytes
    code: str
    reason: str


class CompiledRows(NamedTuple):
    """What some rows of the table became."""

    routes: list[Route]
    unreadable: list[UnreadableRow]


class RouteCache:
    """Routes in Redis. Every method raises StoreUnavailable when Redis is away."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._put = redis.register_script(_PUT_IF_NEWER)
        self._put_missing = redis.register_script(_PUT_IF_MISSING)
        self._run_id: bytes | None = None

    def set_run_id(self, run_id: str | None) -> None:
        """The server that is listened to; only of this one is it believed that it holds everything."""
        self._run_id = None if run_id is None else run_id.encode()

    async def list_routes(self, codes: Sequence[tuple[bytes, str]]) -> RouteBatchAnswer:
        """What Redis holds of `(domain id, code)` pairs, in their order, at one moment."""
        keys = [ROUTES_COMPLETE_KEY, *(route_key(domain_id, code) for domain_id, code in codes)]
        with redis_errors():
            marker, *held = cast("list[bytes | None]", await self._redis.mget(keys))
        return RouteBatchAnswer(held, marker is not None and marker == self._run_id)

    async def put_if_newer(self, route: Route) -> bool:
        """Whether Redis took it; False when it holds this version or a newer one."""
        return await self.put_many_if_newer([route]) == 1

    async def put_many_if_newer(self, routes: Sequence[Route]) -> int:
        """How many Redis took, in one round trip."""
        keys = [
            PUBLISHED_KEY,
            ROUTES_COMPLETE_KEY,
            ROUTES_PUBLISHER_KEY,
            *(route_key(route.domain_id, route.code) for route in routes),
        ]
        with redis_errors():
            return int(await self._put(keys=keys, args=[encode_route(route) for route in routes]))

    async def mark_unreadable(self, rows: Sequence[UnreadableRow]) -> int:
        """How many of these codes had no route, so that their readers now ask Postgres."""
        keys = [PUBLISHED_KEY, *(route_key(row.domain_id, row.code) for row in rows)]
        with redis_errors():
            return int(await self._put_missing(keys=keys, args=[UNREADABLE]))


class RouteTable:
    """Routes in Postgres, by the view `edge_routes_v1`. Raises StoreError, UncompilableRoute."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres
        self._queries = load_queries("scanhop.stores")

    async def find_route(self, domain_id: UUID, code: str) -> Route | None:
        async with self._postgres.checked_connection() as connection:
            row = await connection.fetchrow(self._queries["find_route"], domain_id, code)
        return None if row is None else compile_route(dict(row))

    async def find_route_by_id(self, qr_id: UUID) -> Route | None:
        async with self._postgres.checked_connection() as connection:
            row = await connection.fetchrow(self._queries["find_route_by_id"], qr_id)
        return None if row is None else compile_route(dict(row))

    async def list_routes_by_id(self, ids: Sequence[UUID]) -> CompiledRows:
        """Of those that there are, in no order. Raises StoreError alone."""
        async with self._postgres.checked_connection() as connection:
            rows = await connection.fetch(self._queries["list_routes_by_id"], list(ids))
        return compile_rows([dict(row) for row in rows])

    async def list_batches(self, size: int) -> AsyncGenerator[CompiledRows, None]:
        """Every code as of one moment after this was begun, `size` at once. Raises StoreError alone."""
        async with (
            self._postgres.checked_connection() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            cursor = await connection.cursor(self._queries["list_routes"])
            while rows := await cursor.fetch(size):
                yield compile_rows([dict(row) for row in rows])

    async def find_unreadable_row(self, qr_id: UUID) -> UnreadableRow | None:
        """The code that is meant, if its row cannot be a route."""
        async with self._postgres.checked_connection() as connection:
            row = await connection.fetchrow(self._queries["find_route_by_id"], qr_id)
        unreadable = [] if row is None else compile_rows([dict(row)]).unreadable
        return unreadable[0] if unreadable else None


def compile_rows(rows: Sequence[Mapping[str, Any]]) -> CompiledRows:
    """Rows of the view `edge_routes_v1`."""
    batch = CompiledRows([], [])
    for row in rows:
        try:
            batch.routes.append(compile_route(row))
        except UncompilableRoute as error:
            batch.unreadable.append(UnreadableRow(row["domain_id"].bytes, row["short_code"], str(error)))
    return batch

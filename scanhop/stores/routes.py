"""Routes of codes where every process finds them: the truth in Postgres, a copy of each in Redis.

Owns the keys `route:*`. Invariants:
- A key holds the newest version ever put there: `put_if_newer` compares versions inside Redis.
- Putting what is there already writes nothing (a write would make every edge forget its own copy).
- A deleted code keeps its route, with the status "deleted" and a version: a tombstone.
- Keys have no expiry. Redis may be flushed at any time; readers then fall back to Postgres.
"""

from collections.abc import Sequence
from uuid import UUID

from scanhop.routing.compilation import compile_route
from scanhop.stores.postgres import Postgres
from scanhop.stores.redis import Redis, redis_errors
from scanhop.stores.sql import load_queries
from scanhop.wire.redis_keys import route_key
from scanhop.wire.route import Route, decode_route, encode_route

# A value begins with its format (u8) and version (u64). An equal version with other bytes is replaced: another
# version of this program compiled it, and may have known less of the code.
_PUT_IF_NEWER = """
local held = redis.call('GET', KEYS[1])
if held and #held >= 9 then
    local _, version = struct.unpack('>BI8', held)
    local _, new_version = struct.unpack('>BI8', ARGV[1])
    if version > new_version or held == ARGV[1] then
        return 0
    end
end
redis.call('SET', KEYS[1], ARGV[1])
return 1
"""


class RouteCache:
    """Routes in Redis. Every method raises StoreUnavailable when Redis is away."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._put = redis.register_script(_PUT_IF_NEWER)

    async def list_routes(self, codes: Sequence[tuple[bytes, str]]) -> list[Route | None]:
        """The routes of `(domain id, code)` pairs, in their order; None where Redis holds none."""
        with redis_errors():
            held = await self._redis.mget([route_key(domain_id, code) for domain_id, code in codes])
        return [decode_route(data) if isinstance(data, bytes) else None for data in held]

    async def put_if_newer(self, route: Route) -> bool:
        """Whether Redis took it; False when it holds this version or a newer one."""
        with redis_errors():
            took = await self._put(keys=[route_key(route.domain_id, route.code)], args=[encode_route(route)])
        return bool(took)


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

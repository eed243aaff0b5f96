"""The verified custom domains where every process finds them: the truth in Postgres, a copy of the set in Redis.

Owns the key `domains`. Invariants:
- The key holds the newest set ever put there: versions are compared inside Redis, so that a write that was held up
  on its way cannot undo a later one (a lock in Postgres would be free again before such a write arrives).
- The version of the set is the sum of the versions of all rows of `domains`. Rows are never removed and their
  versions only grow, so a later reading is never lower, and equal sums mean the same rows.
- Putting what is there already writes nothing; a write counts up `published`, as one of a route does.
- The key has no expiry. Redis may be flushed at any time; readers then fall back to Postgres.
"""

from collections.abc import Sequence
from typing import Any

from scanhop.routing.targets import is_header_safe
from scanhop.stores.postgres import Postgres
from scanhop.stores.redis import Redis, redis_errors
from scanhop.stores.sql import load_queries
from scanhop.wire.domains import Domain, decode_domains, encode_domains
from scanhop.wire.redis_keys import DOMAINS_KEY, PUBLISHED_KEY

# An equal version with other bytes is replaced: another version of this program wrote it. What cannot be stored (no
# memory is left) must not leave an older set behind, which readers would go on to believe: they ask Postgres then.
_PUT_IF_NEWER = """
local held = redis.call('GET', KEYS[1])
if held and #held >= 9 then
    local _, version = struct.unpack('>BI8', held)
    local _, new_version = struct.unpack('>BI8', ARGV[1])
    if version > new_version or held == ARGV[1] then
        return 0
    end
end
local stored = redis.pcall('SET', KEYS[1], ARGV[1])
if stored.err then
    redis.pcall('DEL', KEYS[1])
    return stored
end
redis.pcall('INCR', KEYS[2])
return 1
"""


class DomainCache:
    """The set in Redis. Every method raises StoreUnavailable when Redis is away."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._put = redis.register_script(_PUT_IF_NEWER)

    async def find_domains(self) -> list[Domain] | None:
        """None where Redis holds no set that can be read."""
        with redis_errors():
            held = await self._redis.get(DOMAINS_KEY)
        return decode_domains(held) if isinstance(held, bytes) else None

    async def put_domains(self, domains: Sequence[Domain], version: int = 0) -> bool:
        """Whether Redis took it; False when it holds this set or a newer one."""
        with redis_errors():
            took = await self._put(keys=[DOMAINS_KEY, PUBLISHED_KEY], args=[encode_domains(domains, version)])
        return bool(took)


class DomainTable:
    """The set in Postgres, by the view `edge_domains_v1`. Raises StoreError."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres
        self._queries = load_queries("scanhop.stores")

    async def list_domains(self) -> list[Domain]:
        """By host."""
        async with self._postgres.checked_connection() as connection:
            rows = await connection.fetch(self._queries["list_domains"])
        return [_domain_from(row) for row in rows]

    async def list_domains_with_version(self) -> tuple[list[Domain], int]:
        """What to publish."""
        async with self._postgres.checked_connection() as connection:
            rows = await connection.fetch(self._queries["list_domains_with_version"])
        return [_domain_from(row) for row in rows if row["id"] is not None], rows[0]["set_version"]


def _domain_from(row: Any) -> Domain:
    """An address that is not safe for a header is left out, whatever wrote it."""
    url = row["not_found_url"]
    safe = url if url is not None and is_header_safe(url) else None
    return Domain(row["id"].bytes, row["host"], row["code_case"] == "exact", safe)

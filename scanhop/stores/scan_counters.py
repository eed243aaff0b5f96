"""How often a code was scanned, for limits and rules on it: counted in Redis, persisted in Postgres.

Owns the keys `scans:*`, `scans_dirty` and `scans_persisting`, and the table `scan_counts`. Invariants:
- A counter is admitted and counted in one step inside Redis: of a limit of n, n are admitted.
- A counter is never lowered, neither here nor there.
- A counter that moved is in `scans_dirty` until it is handed on to `scans_persisting`, and there until what it stood
  at is in Postgres. So a worker that dies, or a Postgres that is away, loses no count.
- A flush of Redis takes what was counted since the last persist, and every counter: a missing one is no zero, it is
  to be raised from Postgres first.

When Redis or Postgres is away a call raises StoreError.
"""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from scanhop.stores.postgres import Postgres
from scanhop.stores.redis import Redis, redis_errors
from scanhop.stores.sql import load_queries
from scanhop.wire.redis_keys import SCANS_DIRTY_KEY, SCANS_PERSISTING_KEY, scans_key

_ADMIT = """
local scans = tonumber(redis.call('GET', KEYS[1]))
if not scans then
    return false
end
if ARGV[2] ~= '' and scans >= tonumber(ARGV[2]) then
    return {scans, 0}
end
redis.call('INCR', KEYS[1])
redis.call('SADD', KEYS[2], ARGV[1])
return {scans, 1}
"""

# KEYS: the dirty set, then the counters; ARGV: their names in the set, then their values.
_RAISE_TO = """
local counters, raised = #KEYS - 1, 0
for i = 1, counters do
    local held, name, value = tonumber(redis.call('GET', KEYS[i + 1])), ARGV[i], ARGV[counters + i]
    if not held or held < tonumber(value) then
        redis.call('SET', KEYS[i + 1], value)
        redis.call('SADD', KEYS[1], name)
        raised = raised + 1
    end
end
return raised
"""

_TAKE_DIRTY = """
if redis.call('EXISTS', KEYS[2]) == 0 and redis.call('EXISTS', KEYS[1]) == 1 then
    redis.call('RENAME', KEYS[1], KEYS[2])
end
return redis.call('SRANDMEMBER', KEYS[2], ARGV[1])
"""


class Count(NamedTuple):
    """`scans_before`: the counted scans before this one, which was counted itself if it `is_admitted`."""

    scans_before: int
    is_admitted: bool


class LimitedCode(NamedTuple):
    """A code whose answer depends on how often it was scanned. `scans`: what is persisted, 0 where nothing is."""

    qr_id: bytes
    workspace_id: bytes
    scans: int


class ScanCounters:
    """Counters in Redis, by the 16 bytes of the code's id."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._admit = redis.register_script(_ADMIT)
        self._raise = redis.register_script(_RAISE_TO)
        self._take = redis.register_script(_TAKE_DIRTY)

    async def admit(self, qr_id: bytes, max_scans: int | None) -> Count | None:
        """Count a scan, unless the limit is reached. None: there is no counter; raise it from Postgres first."""
        keys, limit = [scans_key(qr_id), SCANS_DIRTY_KEY], "" if max_scans is None else max_scans
        with redis_errors():
            answer = await self._admit(keys=keys, args=[qr_id.hex(), limit])
        return None if answer is None else Count(int(answer[0]), bool(answer[1]))

    async def read(self, qr_id: bytes) -> int | None:
        """None: there is no counter."""
        with redis_errors():
            held = await self._redis.get(scans_key(qr_id))
        return _count(held)

    async def raise_to(self, qr_id: bytes, value: int) -> bool:
        """Whether the counter was missing or lower."""
        return await self.raise_many([(qr_id, value)]) == 1

    async def raise_many(self, counts: Sequence[tuple[bytes, int]]) -> int:
        """How many counters were missing or lower, in one round trip."""
        keys = [SCANS_DIRTY_KEY, *(scans_key(qr_id) for qr_id, _ in counts)]
        args: list[str | int] = [*(qr_id.hex() for qr_id, _ in counts), *(value for _, value in counts)]
        with redis_errors():
            return int(await self._raise(keys=keys, args=args))

    async def list_moved(self, limit: int) -> list[tuple[bytes, int | None]]:
        """Some counters to persist, with what each stands at; None: it was flushed. Then `settle` them."""
        with redis_errors():
            names = await self._take(keys=[SCANS_DIRTY_KEY, SCANS_PERSISTING_KEY], args=[limit])
            ids = [bytes.fromhex(name.decode()) for name in names]
            held = await self._redis.mget([scans_key(qr_id) for qr_id in ids]) if ids else []
        return [(qr_id, _count(value)) for qr_id, value in zip(ids, held, strict=True)]

    async def settle(self, ids: Sequence[bytes]) -> None:
        """What `list_moved` said of them is persisted; who moved since is listed again."""
        with redis_errors():
            await self._redis.srem(SCANS_PERSISTING_KEY, *(qr_id.hex() for qr_id in ids))


class ScanCountTable:
    """Persisted counts, in Postgres."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres
        self._queries = load_queries("scanhop.stores")

    async def find_count(self, qr_id: bytes) -> int:
        """0 where nothing is persisted."""
        async with self._postgres.checked_connection() as connection:
            scans = await connection.fetchval(self._queries["find_scan_count"], UUID(bytes=qr_id))
        return scans or 0

    async def persist(self, counts: Sequence[tuple[bytes, int]]) -> None:
        """Counts that are higher than what is persisted; codes that do not exist are left out."""
        ids, scans = [UUID(bytes=qr_id) for qr_id, _ in counts], [scans for _, scans in counts]
        async with self._postgres.checked_connection() as connection:
            await connection.execute(self._queries["persist_scan_counts"], ids, scans)

    async def list_limited(self, after: bytes, limit: int) -> list[LimitedCode]:
        """In the order of their ids, those behind `after`."""
        async with self._postgres.checked_connection() as connection:
            rows = await connection.fetch(self._queries["list_limited_codes"], UUID(bytes=after), limit)
        return [LimitedCode(row["qr_id"].bytes, row["workspace_id"].bytes, row["scans"]) for row in rows]

    async def find_limited(self, qr_id: bytes) -> LimitedCode | None:
        """None: how often it was scanned does not matter, or there is no such code."""
        async with self._postgres.checked_connection() as connection:
            row = await connection.fetchrow(self._queries["find_limited_code"], UUID(bytes=qr_id))
        return None if row is None else LimitedCode(row["qr_id"].bytes, row["workspace_id"].bytes, row["scans"])


def _count(held: bytes | str | None) -> int | None:
    """Text that is no number is no counter."""
    return int(held) if held is not None and held.isdigit() else None

"""Whether Redis holds the route of every code, so that a code it does not hold is one that nobody has.

Owns the keys `routes_complete` (the marker), `routes_evictions` and `routes_publisher`. Invariants:
- The marker holds the run id of the server that everything was published to. After a restart or a fail-over the
  server has another one, and the marker says nothing.
- The marker is set in the same step that finds the publisher's claim still there. The claim was made before the first
  row was read, so nothing was flushed since, and who changes a code after that read publishes it itself. Who finds
  that a route does not get into Redis takes the marker and the claim away.
- A server that may evict keys, or has evicted some since, has no marker.
- The marker is a lease: the worker that sees to it that changes reach Redis renews it. Without a worker it is gone
  after LEASE_S, since a change that the API could not publish would then stay unpublished.

When Redis is away every method raises StoreUnavailable.
"""

import secrets
from dataclasses import dataclass

from scanhop.stores.redis import Redis, redis_errors
from scanhop.wire.redis_keys import ROUTES_COMPLETE_KEY, ROUTES_EVICTIONS_KEY, ROUTES_PUBLISHER_KEY

LEASE_S = 30
CLAIM_S = 30  # longer than a publisher is silent between two batches

_KEEP_CLAIM = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
    return 0
end
return redis.call('EXPIRE', KEYS[1], ARGV[2])
"""

_GIVE_UP_CLAIM = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
    return 0
end
return redis.call('DEL', KEYS[1])
"""

_SET_MARKER = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
    return 0
end
redis.call('SET', KEYS[2], ARGV[2], 'EX', ARGV[3])
redis.call('SET', KEYS[3], ARGV[4])
redis.call('DEL', KEYS[1])
return 1
"""

_RENEW_MARKER = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
    return 0
end
return redis.call('EXPIRE', KEYS[1], ARGV[2])
"""


@dataclass(frozen=True)
class Standing:
    """What Redis says of itself. `evictions`: keys it dropped for want of memory since it, or its count, began.
    `has_evicted_since`: since the marker was set; so it is where the note of that count was dropped itself."""

    run_id: str
    evictions: int
    may_evict: bool
    is_marked: bool
    has_evicted_since: bool

    @property
    def is_complete(self) -> bool:
        return self.is_marked and not self.may_evict and not self.has_evicted_since


class Completeness:
    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._keep = redis.register_script(_KEEP_CLAIM)
        self._give_up = redis.register_script(_GIVE_UP_CLAIM)
        self._set_marker = redis.register_script(_SET_MARKER)
        self._renew = redis.register_script(_RENEW_MARKER)

    async def read_standing(self) -> Standing:
        with redis_errors():
            async with self._redis.pipeline(transaction=False) as pipeline:
                pipeline.mget(ROUTES_COMPLETE_KEY, ROUTES_EVICTIONS_KEY)
                for section in ("server", "memory", "stats"):
                    pipeline.info(section)
                (marker, evictions_then), server, memory, stats = await pipeline.execute()
        run_id, evictions = str(server["run_id"]), int(stats.get("evicted_keys", 0))
        return Standing(
            run_id=run_id,
            evictions=evictions,
            may_evict=memory.get("maxmemory", 0) > 0 and memory.get("maxmemory_policy") != "noeviction",
            is_marked=marker == run_id.encode(),
            has_evicted_since=evictions_then is None or int(evictions_then) != evictions,
        )

    async def claim(self) -> str | None:
        """The right to publish everything, for CLAIM_S; None while another has it."""
        claim = secrets.token_hex(16)
        with redis_errors():
            taken = await self._redis.set(ROUTES_PUBLISHER_KEY, claim, nx=True, ex=CLAIM_S)
        return claim if taken else None

    async def keep_claim(self, claim: str) -> bool:
        """False: Redis was flushed, a route did not get in, or the claim ran out. Something may be missing."""
        with redis_errors():
            return bool(await self._keep(keys=[ROUTES_PUBLISHER_KEY], args=[claim, CLAIM_S]))

    async def give_up_claim(self, claim: str) -> None:
        with redis_errors():
            await self._give_up(keys=[ROUTES_PUBLISHER_KEY], args=[claim])

    async def set_marker(self, claim: str, began: Standing) -> bool:
        """Everything was published since `began`. False: the claim is gone, or keys were evicted meanwhile."""
        if (await self.read_standing()).evictions != began.evictions:
            return False
        keys = [ROUTES_PUBLISHER_KEY, ROUTES_COMPLETE_KEY, ROUTES_EVICTIONS_KEY]
        with redis_errors():
            return bool(await self._set_marker(keys=keys, args=[claim, began.run_id, LEASE_S, began.evictions]))

    async def renew_marker(self, run_id: str) -> bool:
        with redis_errors():
            return bool(await self._renew(keys=[ROUTES_COMPLETE_KEY], args=[run_id, LEASE_S]))

    async def withdraw_marker(self) -> None:
        """And keep who publishes everything from setting it: something is missing."""
        with redis_errors():
            await self._redis.delete(ROUTES_COMPLETE_KEY, ROUTES_PUBLISHER_KEY)

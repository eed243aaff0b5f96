"""Buckets in Redis. The script says what `decide` in `model` says; a test holds the two to each other."""

from control_api.rate_limits.model import Limit, Verdict
from scanhop.stores.redis import Redis, redis_errors
from scanhop.wire.redis_keys import RATE_PREFIX

# KEYS[1]: the bucket. ARGV: interval and tolerance in microseconds. Answers {allowed, until full, until the next}.
# Numbers are doubles: exact for microseconds until the year 2255.
_CHARGE = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local interval, tolerance = tonumber(ARGV[1]), tonumber(ARGV[2])
local full = (tonumber(redis.call('GET', KEYS[1])) or now) - now
full = math.min(math.max(full, 0), tolerance)
local wanted = full + interval
if wanted > tolerance then
    return {0, full, wanted - tolerance}
end
redis.call('SET', KEYS[1], string.format('%.0f', now + wanted), 'PX', math.ceil(wanted / 1000))
return {1, wanted, 0}
"""


class SharedBuckets:
    """Raises StoreError."""

    def __init__(self, redis: Redis) -> None:
        self._charge = redis.register_script(_CHARGE)

    async def charge(self, bucket: str, limit: Limit) -> Verdict:
        """One request. Should Redis not know the script any more, it is told it again."""
        with redis_errors():
            allowed, full_us, retry_us = await self._charge(
                keys=[f"{RATE_PREFIX}{bucket}"], args=[limit.interval_us, limit.tolerance_us]
            )
        remaining = (limit.tolerance_us - full_us) // limit.interval_us if allowed else 0
        return Verdict(limit, bool(allowed), remaining, full_us, retry_us)

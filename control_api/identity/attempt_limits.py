"""How often somebody may try: per account and per client network, within a quarter of an hour.

An attempt counts before it is made, so that many at once are no way around. What a network tries beyond its own limit
counts for no account: it cannot lock others out. The counts are in Redis, shared by every process. While Redis is
away each process counts for itself, and allows less. Redis and memory see keyed hashes, never an address; both forget
by themselves.
"""

from collections import OrderedDict
from collections.abc import Mapping
from datetime import timedelta

from control_api.clock import Clock
from control_api.web.problem import Problem
from control_api.web.problem_catalogue import ProblemKind
from scanhop.stores.errors import StoreError
from scanhop.stores.redis import Redis, redis_errors
from scanhop.telemetry.logs import get_logger
from scanhop.wire.redis_keys import attempts_key, hidden_name

WINDOW = timedelta(minutes=15)
PER_ACCOUNT = 10
PER_NETWORK = 100
STRICTER = 2  # without Redis only one in so many is allowed
MAX_COUNTED = 20_000

# As long as a key is within its limit the next one is counted.
_COUNT = """
for i, key in ipairs(KEYS) do
  local count = redis.call('INCR', key)
  if count == 1 then redis.call('PEXPIRE', key, ARGV[1]) end
  if count > tonumber(ARGV[1 + i]) then return redis.call('PTTL', key) end
end
return 0
"""


class AttemptLimits:
    """Raises Problem when there were too many."""

    def __init__(self, redis: Redis, secret: bytes, clock: Clock) -> None:
        self._redis = redis
        self._secret = secret
        self._in_memory = _InMemory(clock)
        self._count = redis.register_script(_COUNT)

    async def admit(self, what: str, network: str, account: str | None = None) -> None:
        """Counts one attempt at `what`, `login` for instance."""
        wait_ms = await self._record(self._limits(what, network, account))
        if wait_ms > 0:
            seconds = -(-wait_ms // 1000)
            raise Problem(
                ProblemKind.TOO_MANY_ATTEMPTS,
                f"There were too many attempts; wait {seconds} seconds.",
                headers={"Retry-After": str(seconds)},
            )

    async def forgive(self, what: str, account: str) -> None:
        """After a success the account's count begins anew; that of the network goes on."""
        key = self._key(what, "account", account)
        self._in_memory.forget(key)
        try:
            with redis_errors():
                await self._redis.delete(key)
        except StoreError as error:
            get_logger().warning("attempts_not_forgiven", error=str(error))

    def _limits(self, what: str, network: str, account: str | None) -> Mapping[str, int]:
        """In the order they are counted in."""
        limits = {self._key(what, "network", network): PER_NETWORK}
        if account is not None:
            limits[self._key(what, "account", account)] = PER_ACCOUNT
        return limits

    def _key(self, what: str, kind: str, name: str) -> str:
        return attempts_key(what, kind, hidden_name(name.lower(), self._secret))

    async def _record(self, limits: Mapping[str, int]) -> int:
        """Milliseconds to wait; 0: none."""
        try:
            with redis_errors():
                arguments = [_milliseconds(WINDOW), *limits.values()]
                return int(await self._count(keys=list(limits), args=arguments))
        except StoreError as error:
            get_logger().warning("attempts_counted_in_memory", error=str(error))
            waits = (self._in_memory.record(key, limit // STRICTER) for key, limit in limits.items())
            return next((wait_ms for wait_ms in waits if wait_ms > 0), 0)


class _InMemory:
    """Counts of one process; the oldest go first when there are MAX_COUNTED."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._counts: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def record(self, key: str, limit: int) -> int:
        now = self._clock().timestamp()
        ends, count = self._counts.get(key, (0.0, 0))
        if ends <= now:
            self._counts.pop(key, None)
            ends, count = now + WINDOW.total_seconds(), 0
        self._counts[key] = (ends, count + 1)
        if len(self._counts) > MAX_COUNTED:
            self._counts.popitem(last=False)
        return int((ends - now) * 1000) if count + 1 > limit else 0

    def forget(self, key: str) -> None:
        self._counts.pop(key, None)


def _milliseconds(span: timedelta) -> int:
    return int(span.total_seconds() * 1000)

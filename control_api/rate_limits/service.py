"""Who is limited by what, and where it is counted."""

import time
from collections.abc import Callable
from dataclasses import replace

from control_api.rate_limits.local_buckets import LocalBuckets
from control_api.rate_limits.model import Limit, Verdict
from control_api.rate_limits.shared_buckets import SharedBuckets
from control_api.web.authentication import Caller, PlatformAdmin
from control_api.web.request_metrics import RequestMetrics
from scanhop.stores.errors import StoreError
from scanhop.telemetry.logs import get_logger

RETRY_S = 1.0
NETWORK = "network"

_log = get_logger()


class RateLimits:
    """`limit`: of a caller, and the same of a network. Never raises for want of Redis."""

    def __init__(
        self,
        shared: SharedBuckets,
        local: LocalBuckets,
        metrics: RequestMetrics,
        limit: Limit,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._shared = shared
        self._local = local
        self._metrics = metrics
        self._of_caller = limit
        self._of_network = replace(limit, policy=NETWORK)
        self._now_s = now_s
        self._is_away = False
        self._asked_again_at = 0.0

    def find_limit(self, caller: Caller) -> Limit | None:
        """The one place that says how often a caller may ask; None: as often as they like."""
        return None if isinstance(caller, PlatformAdmin) else self._of_caller

    async def charge_caller(self, caller: Caller) -> Verdict | None:
        """None when there is no limit."""
        limit = self.find_limit(caller)
        return None if limit is None else await self._charge(caller.actor, limit)

    async def charge_network(self, network: str) -> Verdict:
        return await self._charge(f"network:{network}", self._of_network)

    async def _charge(self, bucket: str, limit: Limit) -> Verdict:
        verdict = await self._ask_redis(bucket, limit)
        where = "process" if verdict is None else "redis"
        verdict = verdict or self._local.charge(bucket, limit)
        self._metrics.record_charge(limit.policy, where, is_allowed=verdict.is_allowed)
        return verdict

    async def _ask_redis(self, bucket: str, limit: Limit) -> Verdict | None:
        """None when it does not answer, or is not to be asked yet."""
        if self._is_away and self._now_s() < self._asked_again_at:
            return None
        self._asked_again_at = self._now_s() + RETRY_S  # while it is away, by this request and no other
        try:
            verdict = await self._shared.charge(bucket, limit)
        except StoreError as error:
            self._lose(error)
            return None
        if self._is_away:
            self._is_away = False
            self._local.forget()
            _log.info("rate_limits_in_redis_again")
        return verdict

    def _lose(self, error: StoreError) -> None:
        self._asked_again_at = self._now_s() + RETRY_S
        if not self._is_away:
            self._is_away = True
            _log.warning("rate_limits_without_redis", error=str(error))

"""Rate limits as HTTP: the header fields of draft-ietf-httpapi-ratelimit-headers, and 429."""

from fastapi import Request

from control_api.rate_limits.model import SECOND_US, Limit, Verdict
from control_api.rate_limits.service import RateLimits
from control_api.web.authentication import Caller
from control_api.web.client_address import client_address
from control_api.web.problem import Problem
from control_api.web.problem_catalogue import ProblemKind
from control_api.web.unlimited import UNLIMITED
from scanhop.client_facts.client_address import TrustedNetworks, text_of
from scanhop.wire.redis_keys import hidden_name

UNKNOWN_NETWORK = "unknown"


class Admission:
    """Callers are charged by their key or by themselves, requests without a valid credential by their network."""

    def __init__(self, limits: RateLimits, secret: bytes, trusted: TrustedNetworks) -> None:
        self._limits = limits
        self._secret = secret
        self._trusted = trusted

    async def charge(self, request: Request, caller: Caller | None) -> None:
        """Raises Problem when it was one request too many. Either way the answer will say what is left."""
        verdict = await self._find_verdict(request, caller)
        if verdict is None:
            return
        request.state.answer_headers = {"RateLimit-Policy": _policy(verdict.limit), "RateLimit": _state(verdict)}
        if not verdict.is_allowed:
            wait_s = max(_whole_seconds(verdict.retry_us), 1)
            detail = f"More than {verdict.limit.burst} requests at once, or {verdict.limit.per_second} a second."
            raise Problem(ProblemKind.RATE_LIMITED, detail, headers={"Retry-After": str(wait_s)})

    async def _find_verdict(self, request: Request, caller: Caller | None) -> Verdict | None:
        if caller is not None:
            return await self._limits.charge_caller(caller)
        if getattr(request.scope.get("route"), "path", "") in UNLIMITED:
            return None
        return await self._limits.charge_network(hidden_name(self._network_of(request), self._secret))

    def _network_of(self, request: Request) -> str:
        """An IPv4 address, or the /64 of an IPv6 address: what one household or machine can choose from."""
        address = client_address(request, self._trusted)
        if len(address) == 16:
            address = address[:8] + bytes(8)
        return text_of(address) if address else UNKNOWN_NETWORK


def _policy(limit: Limit) -> str:
    return f'"{limit.policy}";q={limit.burst};w={max(_whole_seconds(limit.tolerance_us), 1)}'


def _state(verdict: Verdict) -> str:
    return f'"{verdict.limit.policy}";r={verdict.remaining};t={_whole_seconds(verdict.full_us)}'


def _whole_seconds(microseconds: int) -> int:
    return -(-microseconds // SECOND_US)

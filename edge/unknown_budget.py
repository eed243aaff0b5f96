"""How many unknown codes a client network may ask for: people misread a code, programs try them all.

A token bucket for each network (/24 of IPv4, /48 of IPv6), bounded in number; at the bound the network that was seen
first is forgotten, and begins anew. A network over its budget is answered from memory and Redis alone: Postgres is
never asked for it, its scans are counted but not recorded.
"""

from edge.bounded_map import BoundedMap

BURST = 60.0
REFILL_PER_S = 1.0
MAX_NETWORKS = 20_000
_IPV4_NETWORK, _IPV6_NETWORK = 3, 6  # bytes


class UnknownBudget:
    """Times are monotonic seconds, addresses 4 or 16 bytes."""

    def __init__(self) -> None:
        self._networks: BoundedMap[bytes, tuple[float, float]] = BoundedMap(MAX_NETWORKS)
        self.exceeded = 0

    def has_any(self, address: bytes, now: float) -> bool:
        return self._tokens(network_of(address), now) >= 1.0

    def take(self, address: bytes, now: float) -> bool:
        """Whether this answer is within the budget."""
        network = network_of(address)
        tokens = self._tokens(network, now)
        if tokens < 1.0:
            self.exceeded += 1
            return False
        self._networks.store(network, (tokens - 1.0, now))
        return True

    def _tokens(self, network: bytes, now: float) -> float:
        tokens, at = self._networks.find(network) or (BURST, now)
        return min(BURST, tokens + (now - at) * REFILL_PER_S)


def network_of(address: bytes) -> bytes:
    """/24 or /48, packed."""
    return address[: _IPV4_NETWORK if len(address) == 4 else _IPV6_NETWORK]

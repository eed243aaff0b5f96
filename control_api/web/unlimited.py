"""What load balancers and Prometheus ask as often as they must: neither limited nor logged."""

UNLIMITED = frozenset({"/", "/v1/public/health", "/v1/public/metrics"})

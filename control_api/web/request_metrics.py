"""Counts and durations of requests, in a registry of the app's own."""

from prometheus_client import CollectorRegistry, Counter, GCCollector, Histogram, PlatformCollector, ProcessCollector

METHODS = frozenset(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
BUCKETS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class RequestMetrics:
    """`route` is a path template, never a path, so that the number of series is bounded."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self._requests = Counter(
            "scanhop_api_requests",
            "Requests answered by the control API.",
            ["method", "route", "status"],
            registry=self.registry,
        )
        self._seconds = Histogram(
            "scanhop_api_request_duration_seconds",
            "Time from a request's head to the end of its answer.",
            ["method", "route"],
            buckets=BUCKETS,
            registry=self.registry,
        )

        self._charges = Counter(
            "scanhop_api_rate_limit_checks",
            "Requests held against a rate limit.",
            ["policy", "counted_in", "outcome"],
            registry=self.registry,
        )

        self._log_rows = Counter(
            "scanhop_api_request_log_rows",
            "Rows of the request log, by what became of them.",
            ["outcome"],
            registry=self.registry,
        )

    def record_log_rows(self, outcome: str, count: int) -> None:
        self._log_rows.labels(outcome).inc(count)

    def record_charge(self, policy: str, where: str, *, is_allowed: bool) -> None:
        self._charges.labels(policy, where, "allowed" if is_allowed else "refused").inc()

    def record_request(self, method: str, route: str, status: int, seconds: float) -> None:
        known = method if method in METHODS else "other"
        self._requests.labels(known, route, status).inc()
        self._seconds.labels(known, route).observe(seconds)

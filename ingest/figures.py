"""What one ingest process counts, as plain numbers; `ingest.metrics` shows them."""

from bisect import bisect_left
from collections import Counter

from ingest.frozen_batch import BatchHeader
from ingest.insert_failures import FailureReason

DELAY_BUCKETS_S = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0)
_NS_PER_S = 1_000_000_000


class IngestFigures:
    """`retries`: failed tries by reason. `accepted`: batches, rows and counted scans.

    A delay is the time from a batch's first scan to its acceptance: no scan of the batch waited longer.
    """

    def __init__(self) -> None:
        self.retries: Counter[FailureReason] = Counter()
        self.accepted: Counter[str] = Counter()
        self.delays = [0] * (len(DELAY_BUCKETS_S) + 1)
        self.delays_sum_s = 0.0

    def record_accepted(self, header: BatchHeader, at_ns: int) -> None:
        self.accepted.update(batches=1, rows=header.rows, scans=header.scans)
        delay_s = max(0, at_ns - header.first_scan_at_ns) / _NS_PER_S
        self.delays[bisect_left(DELAY_BUCKETS_S, delay_s)] += 1
        self.delays_sum_s += delay_s

"""What an edge says of itself on /metrics, all its workers together."""

import time
from collections import Counter
from dataclasses import dataclass
from urllib.request import urlopen

from prometheus_client.parser import text_string_to_metric_families

PATIENCE_S = 10.0

Sample = tuple[str, str]  # the name, and the value of the label beside `worker`


@dataclass(frozen=True)
class EdgeCounts:
    """Samples of all workers, added up."""

    samples: Counter[Sample]

    def value(self, name: str, label: str) -> int:
        return self.samples[name, label]

    def total(self, name: str) -> int:
        return sum(value for (sample, _), value in self.samples.items() if sample == name)

    def since(self, earlier: "EdgeCounts") -> "EdgeCounts":
        return EdgeCounts(Counter({key: value - earlier.samples[key] for key, value in self.samples.items()}))


def read_counts(port: int, workers: int) -> EdgeCounts:
    """One worker answers for itself alone, so it is asked until each has answered."""
    by_worker: dict[str, Counter[Sample]] = {}
    deadline = time.monotonic() + PATIENCE_S
    while len(by_worker) < workers:
        if time.monotonic() > deadline:
            raise TimeoutError(f"only {len(by_worker)} of {workers} workers answered for their metrics")
        by_worker |= _read_page(port)
    return EdgeCounts(sum(by_worker.values(), Counter()))


def _read_page(port: int) -> dict[str, Counter[Sample]]:
    with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as page:
        text = page.read().decode()
    found: dict[str, Counter[Sample]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = dict(sample.labels)
            worker = labels.pop("worker", "")
            key = (sample.name, next(iter(labels.values()), ""))
            found.setdefault(worker, Counter())[key] += int(sample.value)
    return found

"""Every metric stands in docs/metrics.md, and nothing else does."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCES = (
    ROOT / "edge" / "metrics.py",
    ROOT / "ingest" / "metrics.py",
    ROOT / "control_api" / "web" / "request_metrics.py",
)
SUFFIX = re.compile(r"_(total|bucket|count|sum)$")


def test_the_metrics_and_their_documentation_name_the_same():
    documented = {
        SUFFIX.sub("", name) for name in re.findall(r"`(scanhop_\w+)", (ROOT / "docs/metrics.md").read_text())
    }
    made = {SUFFIX.sub("", name) for path in SOURCES for name in re.findall(r'"(scanhop_\w+)"', path.read_text())}
    assert made
    assert documented == made

"""A plugin of pytest: the edge runs as where no hot path could be compiled."""

import sys

sys.modules["edge._hot_path"] = None  # type: ignore[assignment]


def pytest_report_header() -> str:
    from edge.hot_path import IS_COMPILED  # noqa: PLC0415 - behind what stands above

    return "hot path: " + ("compiled" if IS_COMPILED else "plain")

import json
import subprocess
import sys

import pytest

PREAMBLE = """
import logging
from scanhop.telemetry.logs import configure_logs, get_logger
early = get_logger()
configure_logs("edge", "{level}")
"""


def lines_of(script: str, level: str = "info") -> list[dict[str, object]]:
    """What a process that configured its logs writes to stderr, line by line."""
    run = subprocess.run(
        [sys.executable, "-c", PREAMBLE.format(level=level) + script], capture_output=True, text=True, check=True
    )
    assert run.stdout == ""
    return [json.loads(line) for line in run.stderr.splitlines()]


def test_a_line_is_json_with_time_level_process_and_facts():
    (line,) = lines_of("get_logger().warning('redis_away', tries=3)")
    assert str(line.pop("timestamp")).endswith("Z")
    assert line == {"event": "redis_away", "level": "warning", "process": "edge", "tries": 3}


def test_a_logger_that_was_got_at_import_is_configured_too():
    (line,) = lines_of("early.error('late')")
    assert (line["event"], line["process"]) == ("late", "edge")


def test_other_libraries_write_to_the_same_place():
    (line,) = lines_of("logging.getLogger('some.library').warning('hello %s', 'there')")
    assert (line["event"], line["level"], line["process"]) == ("hello there", "warning", "edge")


def test_an_exception_is_part_of_its_line():
    (line,) = lines_of("try:\n    1 / 0\nexcept ZeroDivisionError:\n    get_logger().exception('broken')")
    assert "ZeroDivisionError" in str(line["exception"])


@pytest.mark.parametrize(("level", "written"), [("debug", 4), ("info", 3), ("warning", 2), ("error", 1)])
def test_lines_below_the_level_are_left_out(level, written):
    script = "for name in ('debug', 'info', 'warning', 'error'): getattr(get_logger(), name)('x')"
    assert len(lines_of(script, level)) == written


def test_requests_that_libraries_log_are_left_out():
    script = "for name in ('uvicorn.access', 'httpx'): logging.getLogger(name).info('GET /?key=secret')"
    assert lines_of(script, "debug") == []


def test_text_over_several_lines_stays_one_line():
    (line,) = lines_of(r"get_logger().error('a\nb', value='c\nd')")
    assert (line["event"], line["value"]) == ("a\nb", "c\nd")

import json
import os
import pty
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


def test_an_exception_on_a_terminal_is_told_without_local_variables():
    script = "password = 'hunter2'\ntry:\n    1 / 0\nexcept ZeroDivisionError:\n    get_logger().exception('broken')"
    ours, theirs = pty.openpty()
    argv = [sys.executable, "-c", PREAMBLE.format(level="info") + script]
    subprocess.run(argv, stderr=theirs, check=True)
    os.close(theirs)
    written = os.read(ours, 1 << 16).decode()
    os.close(ours)
    assert "ZeroDivisionError" in written
    assert "hunter2" not in written


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


PATIENT_PREAMBLE = """
import os, signal
from scanhop.telemetry import logs
from scanhop.telemetry.logs import configure_logs, get_logger
logs.MAX_WAITING = 50
configure_logs("edge", "info", may_wait=False)
"""


def test_a_process_that_must_not_wait_writes_the_same_lines_in_order_and_all_of_them_at_its_end():
    script = PATIENT_PREAMBLE + "for number in range(30): get_logger().info('counted', number=number)"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert [json.loads(line)["number"] for line in run.stderr.splitlines()] == list(range(30))


def test_whoever_must_not_wait_for_a_stderr_that_nobody_reads_goes_on_and_ends():
    script = PATIENT_PREAMBLE + "for _ in range(1000): get_logger().info('long', text='x' * 1000)\nprint('went on')"
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.wait(30) == 0
        assert process.stdout is not None
        assert process.stdout.read() == b"went on\n"


def test_lines_that_were_dropped_are_told():
    script = PATIENT_PREAMBLE + (
        "for _ in range(1000): get_logger().info('long', text='x' * 1000)\n"
        "print('full', flush=True); input()\n"
        "import time; time.sleep(0.5); get_logger().info('last')"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", script], text=True, **pipes) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "full\n"
        _, told = process.communicate("go on\n", 30)
    lines = [json.loads(line) for line in told.splitlines()]
    dropped = sum(line["lines"] for line in lines if line["event"] == "log_lines_dropped")
    assert dropped > 0
    assert dropped + sum(line["event"] == "long" for line in lines) == 1000
    assert lines[-1]["event"] == "last"

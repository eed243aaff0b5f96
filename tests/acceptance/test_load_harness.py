"""The load test finds what is wrong with an answer, and finds nothing wrong with the product."""

import importlib.util
import os
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from benchmarks.load_test.promises import TargetHistory
from benchmarks.load_test.referee import Answer, Fault, Referee
from benchmarks.load_test.scan_mix import BOT_USER_AGENTS, Scan, ScanMix
from benchmarks.traffic.phones import list_header_blocks, user_agent
from scanhop.client_facts.device import DeviceReader
from tests.product import Product

ROOT = Path(__file__).parents[2]
WITHIN_S = 0.1
CODE, OLD, NEW = "menu", "https://example.com/old", "https://example.com/new"
SCAN = Scan("GET", "/r/menu", {}, CODE, True)


def _answer(location=OLD, status=302, asked_at=0.0, answered_at=0.01, body_length=0, **headers):
    named = {"location": location, "cache-control": "private, no-store"} | headers
    return Answer(status, {name: value for name, value in named.items() if value}, body_length, asked_at, answered_at)


@pytest.fixture
def referee():
    return Referee({CODE: OLD}, WITHIN_S)


@pytest.mark.parametrize(
    ("location", "asked_at", "answered_at", "judgement"),
    [
        (OLD, 0.5, 0.9, "allowed"),
        (NEW, 0.5, 1.1, "allowed"),
        (OLD, 1.5, 1.6, "allowed"),
        (NEW, 1.5, 1.6, "allowed"),
        (OLD, 2.05, 9.0, "allowed"),  # asked before the promise was due
        (OLD, 2.2, 2.3, "stale"),
        (NEW, 2.2, 2.3, "allowed"),
        (None, 2.2, 2.3, "foreign"),
    ],
)
def test_a_target_is_allowed_from_its_edit_until_the_next_must_be_in_effect(
    location, asked_at, answered_at, judgement
):
    history = TargetHistory(OLD, WITHIN_S)
    history.note_sent(NEW, 1.0).acknowledged_at = 2.0
    assert history.judge(location, asked_at, answered_at) == judgement


def test_an_edit_without_an_answer_allows_both_targets_until_a_later_one_is_acknowledged():
    history = TargetHistory(OLD, WITHIN_S)
    history.note_sent(NEW, 1.0)
    assert history.judge(OLD, 50.0, 50.1) == history.judge(NEW, 50.0, 50.1) == "allowed"
    history.note_sent("https://example.com/third", 60.0).acknowledged_at = 60.1
    assert history.judge(OLD, 61.0, 61.1) == history.judge(NEW, 61.0, 61.1) == "stale"


def test_a_refused_edit_leaves_the_target_as_it_was():
    history = TargetHistory(OLD, WITHIN_S)
    history.note_refused(history.note_sent(NEW, 1.0))
    assert history.judge(OLD, 50.0, 50.1) == "allowed"
    assert history.judge(NEW, 50.0, 50.1) == "foreign"


def test_targets_of_long_ago_are_still_known_as_stale():
    history = TargetHistory(OLD, WITHIN_S)
    for number in range(1000):
        history.note_sent(f"https://example.com/{number}", number).acknowledged_at = number + 0.5
    assert history.judge(OLD, 2000.0, 2000.1) == "stale"
    assert history.judge("https://example.com/999", 2000.0, 2000.1) == "allowed"


@pytest.mark.parametrize(
    ("scan", "answer", "fault"),
    [
        (SCAN, _answer(), None),
        (SCAN, _answer(status=0), Fault.NO_ANSWER),
        (SCAN, _answer(status=503), Fault.WRONG_STATUS),
        (SCAN, _answer(NEW), Fault.FOREIGN_TARGET),
        (SCAN, _answer(**{"cache-control": "max-age=60"}), Fault.CACHEABLE),
        (SCAN, _answer(**{"set-cookie": "a=b"}), Fault.COOKIE),
        (Scan("HEAD", "/r/menu", {}, CODE, False), _answer(body_length=3), Fault.BODY_OF_HEAD),
        (Scan("GET", "/r/none", {}, None, False), _answer(None, 404), None),
        (Scan("GET", "/r/none", {}, None, False), _answer(status=404), Fault.TARGET_OF_UNKNOWN),
        (Scan("GET", "/r/none", {}, None, False), _answer(), Fault.WRONG_STATUS),
    ],
)
def test_each_fault_of_an_answer_is_found_and_counted(referee, scan, answer, fault):
    assert referee.judge(scan, answer) == fault
    assert referee.faults == Counter([fault] if fault else [])


def test_a_target_from_before_an_acknowledged_edit_is_a_fault(referee):
    edit = referee.begin_edit(CODE, NEW, 1.0)
    assert referee.begin_edit(CODE, NEW, 1.1) is None
    assert referee.end_edit(CODE, edit, 200, 2.0) is None
    assert referee.judge(SCAN, _answer(OLD, asked_at=3.0, answered_at=3.1)) == Fault.STALE_TARGET


def test_totals_stay_between_what_was_answered_and_what_was_sent(referee):
    for status in (302, 302, 0):
        referee.note_asked(SCAN)
        referee.judge(SCAN, _answer(status=status))
    referee.faults.clear()
    assert referee.judge_total(CODE, 2, 0) is None
    assert referee.judge_total(CODE, 1, referee.highest_total(CODE)) == Fault.TOTAL_FELL
    assert referee.judge_total(CODE, 4, 0) == Fault.TOTAL_TOO_HIGH
    assert referee.list_unsettled({CODE: 1}) == [CODE]
    referee.faults.clear()
    referee.judge_settled({CODE: 3})
    assert not referee.faults
    referee.judge_settled({CODE: 1})
    assert referee.faults == {Fault.TOTAL_TOO_LOW: 1}


def test_the_phones_are_people_to_the_product_and_the_bots_are_bots():
    reader = DeviceReader()
    blocks = list_header_blocks(2000, random.Random(1))
    assert len(set(blocks)) == 2000
    devices = Counter(str(reader.read(user_agent(block)).device_type) for block in blocks)
    assert devices == {"mobile": 2000}
    assert {str(reader.read(agent).device_type) for agent in BOT_USER_AGENTS} == {"bot"}


def test_the_mix_has_every_kind_of_scan():
    mix = ScanMix([f"code{number}" for number in range(20)], random.Random(1))
    scans = [mix.draw() for _ in range(3000)]
    assert {scan.method for scan in scans} == {"GET", "HEAD"}
    assert {scan.path[:3] for scan in scans} == {"/r/", "/R/"}
    assert {scan.headers["Connection"] for scan in scans} == {"close", "keep-alive"}
    popularity = Counter(scan.code for scan in scans)
    assert popularity["code0"] > popularity["code1"] > popularity["code10"] > 0
    assert 0 < popularity[None] < 300
    assert all(scan.code and scan.method == "GET" for scan in scans if scan.is_counted)


@pytest.mark.skipif(importlib.util.find_spec("locust") is None, reason="locust is not installed")
def test_a_short_load_finds_no_violation(tmp_path):
    argv = [sys.executable, "-m", "locust", "-f", str(ROOT / "benchmarks" / "locustfile.py"), "--headless"]
    argv += ["-u", "10", "-r", "10", "-t", "6s", "--only-summary"]
    with Product(tmp_path / "data", {"SCANHOP_LOG_LEVEL": "warning"}) as product:
        env = {name: value for name, value in os.environ.items() if not name.startswith("SCANHOP_")}
        env |= {"SCANHOP_DATA_DIR": str(product.data_dir), "LOAD_CODES": "10", "LOAD_EDIT_WITHIN_MS": "2000"}
        run = subprocess.run(
            argv, cwd=tmp_path, env=env | {"PYTHONWARNINGS": ""}, capture_output=True, text=True, check=False
        )
        assert product.query("SELECT countIf(outcome = 'redirect') > 0 FROM qr_scan_events")[0][0]
    assert run.returncode == 0, run.stdout + run.stderr
    assert "violations: 0" in run.stdout

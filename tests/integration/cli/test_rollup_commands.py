"""`scanhop reconcile` and `scanhop rebuild-rollups` as an operator meets them."""

import json
import os
import subprocess
import sys
from uuid import uuid4

import pytest

from tests.batches import Row, Warehouse

MARCH = ("--from", "2026-03-01", "--to", "2026-04-01")


@pytest.fixture
def scanhop(postgres_dsn, clickhouse_url, tmp_path):
    def run(*arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
        env = {"SCANHOP_POSTGRES_DSN": postgres_dsn, "SCANHOP_CLICKHOUSE_URL": clickhouse_url} | variables
        return subprocess.run(
            [sys.executable, "-m", "scanhop", *arguments],
            cwd=tmp_path,
            env=os.environ | env,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )

    return run


@pytest.fixture
def warehouse(clickhouse_url):
    found = Warehouse(clickhouse_url)
    yield found
    found.close()


def test_the_codes_say_whether_all_agrees_and_a_rebuild_mends_what_does_not(scanhop, warehouse):
    code = uuid4()
    batch = warehouse.accept([Row(code)])
    assert scanhop("reconcile", *MARCH).returncode == 0
    warehouse.roll_up(code, 1)
    differs = scanhop("reconcile", *MARCH)
    assert differs.returncode == 1
    assert f"2026-03-10 doubled_in_rollup: expected 1 rows, found 2; {batch}" in differs.stdout
    mended = scanhop("rebuild-rollups", *MARCH)
    assert (mended.returncode, mended.stdout) == (0, "1 code(s) mended\n")
    assert scanhop("reconcile", *MARCH).returncode == 0


def test_json_tells_days_and_differences(scanhop, warehouse):
    batch = uuid4()
    warehouse.record(batch, [Row(uuid4())])
    result = scanhop("reconcile", *MARCH, "--json")
    said = json.loads(result.stdout)
    assert result.returncode == 1
    assert said["agrees"] is False
    assert [day["accepted_rows"] for day in said["days"]] == [1]
    assert [each["batches"] for each in said["differences"]] == [[str(batch)]]


def test_a_store_that_is_away_has_a_code_of_its_own(scanhop):
    nowhere = {"SCANHOP_CLICKHOUSE_URL": "http://127.0.0.1:1/none"}
    for command in ("reconcile", "rebuild-rollups"):
        result = scanhop(command, **nowhere)
        assert result.returncode == 3, command
        assert "Traceback" not in result.stderr


def test_a_rebuild_without_postgres_is_unavailable_too(scanhop):
    result = scanhop("rebuild-rollups", SCANHOP_POSTGRES_DSN="postgresql://127.0.0.1:1/none")
    assert result.returncode == 3
    assert "postgres" in result.stderr


@pytest.mark.parametrize(
    ("days", "told"),
    [
        (("--from", "2026-03-02", "--to", "2026-03-02"), "--from must be before --to"),
        (("--from", "yesterday"), "--from must be a UTC day such as 2026-11-01"),
    ],
)
def test_bad_days_are_told(scanhop, days, told):
    for command in ("reconcile", "rebuild-rollups"):
        result = scanhop(command, *days)
        assert result.returncode == 2
        assert told in result.stderr


def test_a_refused_rebuild_says_which_day(scanhop, warehouse):
    warehouse.accept([Row(uuid4())])
    warehouse.run("ALTER TABLE qr_scan_events DROP PARTITION 202603")
    result = scanhop("rebuild-rollups", *MARCH)
    assert result.returncode == 2
    assert "raw holds nothing of 2026-03-10" in result.stderr

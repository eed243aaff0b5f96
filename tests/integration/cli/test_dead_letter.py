"""`scanhop dead-letter` as an operator meets it; no ingest runs here."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ingest.dead_letters import REPLAY, park
from scanhop.spool import SegmentName
from scanhop.spool.segment import BATCH, DAMAGED, PARKED, REJECTED
from tests.unit.ingest.test_dead_letters import reject
from tests.unit.ingest.test_freezer import freeze, scan, write_segment


def dead_letter(*arguments: str, root: Path) -> "subprocess.CompletedProcess[str]":
    clean = {name: value for name, value in os.environ.items() if not name.startswith("SCANHOP_")}
    return subprocess.run(
        [sys.executable, "-m", "scanhop", "dead-letter", *arguments],
        env=clean | {"SCANHOP_SPOOL_DIR": str(root)},
        cwd=root.parent,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def name(spool_root: Path) -> SegmentName:
    """A segment whose batch is parked, with rejected records and damaged bytes."""
    name = write_segment(spool_root, [scan(), scan()])
    freeze(spool_root, name)
    park(name.path(spool_root, BATCH), "clickhouse: [cannot parse]")
    reject(spool_root, name, "too old")
    reject(spool_root, name, "", suffix=DAMAGED)
    return name


def test_an_empty_list_says_so(spool_root):
    for arguments, told in ((("list",), "no dead letters\n"), (("list", "--json"), "[]\n")):
        result = dead_letter(*arguments, root=spool_root)
        assert (result.returncode, result.stdout) == (0, told)
    assert dead_letter("replay", "--all", root=spool_root).stdout == "nothing to replay\n"


def test_the_list_shows_what_there_is(spool_root, name):
    result = dead_letter("list", root=spool_root)
    assert result.returncode == 0, result.stderr
    for suffix in (PARKED, REJECTED, DAMAGED):
        assert f"{name.spool_id}/00000001{suffix}" in result.stdout
    assert "clickhouse: [cannot parse]" in result.stdout
    assert "too old (1)" in result.stdout


def test_the_list_as_json_has_everything_a_program_needs(spool_root, name):
    parked, rejected, damaged = json.loads(dead_letter("list", "--json", root=spool_root).stdout)
    path = name.path(spool_root, PARKED)
    assert parked.pop("since").endswith("+00:00")
    assert parked == {
        "id": f"{name.spool_id}/00000001.parked",
        "what": "parked",
        "segment": 1,
        "spool_id": str(name.spool_id),
        "reason": "clickhouse: [cannot parse]",
        "rows": 2,
        "bytes": path.stat().st_size,
        "path": str(path),
    }
    assert [letter["what"] for letter in (rejected, damaged)] == ["rejected", "damaged"]


def test_replay_hands_one_back(spool_root, name):
    letter = f"{name.spool_id}/00000001.rejected"
    result = dead_letter("replay", letter, root=spool_root)
    assert (result.returncode, result.stdout) == (0, f"handed to ingest: {letter}\n")
    assert name.path(spool_root, REPLAY).exists()
    assert name.path(spool_root, PARKED).exists()
    again = dead_letter("replay", letter, root=spool_root)
    assert again.returncode == 1
    assert "there is no dead letter" in again.stderr


def test_replay_all_hands_back_what_it_can_and_names_the_rest(spool_root, name):
    result = dead_letter("replay", "--all", root=spool_root)
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("handed to ingest: ") == 2
    assert f"left as it is: {name.spool_id}/00000001.damaged" in result.stdout
    assert name.path(spool_root, BATCH).exists()
    assert name.path(spool_root, REPLAY).exists()
    assert name.path(spool_root, DAMAGED).exists()


def test_what_cannot_be_replayed_is_told_and_the_others_are(spool_root, name):
    parked = name.path(spool_root, PARKED)
    parked.write_bytes(parked.read_bytes()[:-1])
    result = dead_letter("replay", "--all", root=spool_root)
    assert result.returncode == 1
    assert "00000001.parked: 00000001.parked: the body does not match its checksum" in result.stderr
    assert "Traceback" not in result.stderr
    assert name.path(spool_root, REPLAY).exists()


@pytest.mark.parametrize("arguments", [(), ("--all", "x")])
def test_replay_wants_an_id_or_all(spool_root, arguments):
    result = dead_letter("replay", *arguments, root=spool_root)
    assert result.returncode == 2
    assert "give an ID or --all" in result.stderr


def test_a_spool_that_is_not_there_is_told(spool_root):
    result = dead_letter("list", root=spool_root / "nowhere")
    assert result.returncode == 1
    assert "there is no spool at" in result.stderr


def test_the_help_says_what_cannot_be_replayed(spool_root):
    told = " ".join(dead_letter("replay", "--help", root=spool_root).stdout.split())
    assert "Damaged bytes are no records and cannot be replayed." in told

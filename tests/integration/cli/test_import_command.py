"""`scanhop import scans` as a user meets it."""

import os
import subprocess
import sys

import pytest

from tests.batches import Warehouse
from tests.codes import insert_codes

ROW = "menu\t10.03.2026 09:00\n"


@pytest.fixture
def scanhop(postgres_dsn, clickhouse_url, tmp_path):
    def run(*arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
        env = {
            "SCANHOP_POSTGRES_DSN": postgres_dsn,
            "SCANHOP_CLICKHOUSE_URL": clickhouse_url,
            "SCANHOP_DATA_DIR": str(tmp_path / "data"),
        }
        return subprocess.run(
            [sys.executable, "-m", "scanhop", "import", "scans", *arguments],
            cwd=tmp_path,
            env=os.environ | env | variables,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )

    return run


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "export.tsv"
    path.write_text("Link\tWhen\n" + ROW)
    return path


def told(*options: str) -> tuple[str, ...]:
    return ("export.tsv", "--map", "short_code=Link", "--map", "scanned_at=When", *options)


async def test_an_export_of_another_system_is_mapped_and_imported(
    scanhop, file, postgres_dsn, clickhouse_url, tmp_path
):
    await insert_codes(postgres_dsn, ["menu"])
    file.write_text(file.read_text() + "other\t10.03.2026 09:00\n")
    how = told("--time-format", "%d.%m.%Y %H:%M", "--timezone", "Europe/Vienna", "--delimiter", "tab")
    result = scanhop(*how)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines() == [
        "2 rows read, 1 imported, 0 were there already",
        "1 rejected: export.tsv.rejected.csv",
    ]
    assert (tmp_path / "export.tsv.rejected.csv").read_text().splitlines()[1].startswith("3,there is no code other")
    warehouse = Warehouse(clickhouse_url)
    assert warehouse.run("SELECT toString(scanned_at) FROM qr_scan_events") == [["2026-03-10 08:00:00.000"]]
    warehouse.close()
    assert "0 imported, 1 were there already" in scanhop(*how).stdout


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("export.tsv",), "no column short_code or qr_id among: Link, When (see --map)"),
        (told("--timezone", "Mars/Olympus"), "--timezone Mars/Olympus: is no IANA time zone"),
        (told("--delimiter", "ab"), "--delimiter ab: must be one character"),
        (told("--map", "city"), "--map city: must be of the form LEFT=RIGHT"),
        (told("--workspace", "mine"), "--workspace mine: is no id"),
        (told("--encoding", "klingon"), "there is no encoding 'klingon'"),
        (("absent.csv",), "does not exist"),
    ],
)
def test_what_is_wrong_is_told_with_a_code_of_its_own(scanhop, file, options, reason):
    result = scanhop(*options)
    assert result.returncode == 2
    assert reason in " ".join(result.stderr.replace("│", " ").split())
    assert "Traceback" not in result.stderr


def test_a_store_that_is_away_is_told_with_its_code(scanhop, file):
    result = scanhop(*told(), SCANHOP_POSTGRES_DSN="postgresql://127.0.0.1:1/none")
    # A time that is no time needs no code: nothing is looked up.
    assert result.returncode == 0
    file.write_text("Link\tWhen\nmenu\t2026-03-10\n")
    result = scanhop(*told(), SCANHOP_POSTGRES_DSN="postgresql://127.0.0.1:1/none")
    assert result.returncode == 3
    assert "run the same command again" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_data_directory_that_cannot_be_written_is_told(scanhop, file, tmp_path):
    (tmp_path / "occupied").write_text("")
    result = scanhop(*told(), SCANHOP_DATA_DIR=str(tmp_path / "occupied"))
    assert result.returncode == 1
    assert "Traceback" not in result.stderr

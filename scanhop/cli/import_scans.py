"""`scanhop import scans`: its arguments, its progress and what came of it."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from ingest.csv_import.failure import ImportRefused
from ingest.csv_import.importer import Summary
from ingest.csv_import.load import OnLoaded
from ingest.csv_import.plan import OnRead, Reading
from ingest.csv_import.process import WhoseCodes, import_scans
from scanhop.cli.failure import CommandFailed
from scanhop.settings import Settings
from scanhop.stores.errors import StoreError, StoreUnavailable
from scanhop.telemetry.logs import configure_logs

BAD_INPUT, UNAVAILABLE = 2, 3
_DELIMITERS = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";"}


async def run_import(settings: Settings, reading: Reading, whose: WhoseCodes) -> Summary:
    """Shows progress on a terminal. Raises CommandFailed."""
    configure_logs("import", settings.log_level)
    try:
        with _progress() as (on_read, on_loaded):
            return await import_scans(settings, reading, whose, on_read, on_loaded)
    except ImportRefused as error:
        raise CommandFailed(str(error), BAD_INPUT) from error
    except StoreUnavailable as error:
        raise CommandFailed(f"{error}; run the same command again, and it goes on", UNAVAILABLE) from error
    except (StoreError, OSError, sqlite3.Error) as error:
        raise CommandFailed(f"{error}; run the same command again, and it goes on") from error


def print_summary(summary: Summary, rejected: Path) -> None:
    console = Console(soft_wrap=True, highlight=False)
    if summary.resumed:
        console.print("an earlier run had planned this import; its batches were sent")
    console.print(f"{summary.read} rows read, {summary.imported} imported, {summary.known} were there already")
    if summary.rejected:
        console.print(f"{summary.rejected} rejected: {rejected}", style="yellow")
    for remark in summary.remarks:
        console.print(remark, style="yellow", markup=False)
    if summary.refused:
        raise CommandFailed(f"ClickHouse refused {summary.refused} rows for good: see .parked in the data directory")


def parse_pairs(option: str, texts: Sequence[str]) -> dict[str, str]:
    """`LEFT=RIGHT`; the right side may be empty. Raises CommandFailed."""
    pairs = {}
    for text in texts:
        left, sign, right = text.partition("=")
        if not left or not sign:
            raise CommandFailed(f"{option} {text}: must be of the form LEFT=RIGHT", BAD_INPUT)
        pairs[left.strip()] = right.strip()
    return pairs


def parse_zone(name: str | None) -> ZoneInfo | None:
    """Raises CommandFailed."""
    try:
        return None if name is None else ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise CommandFailed(f"--timezone {name}: is no IANA time zone, such as Europe/Vienna", BAD_INPUT) from None


def parse_delimiter(text: str | None) -> str | None:
    """Raises CommandFailed."""
    delimiter = text if text is None else _DELIMITERS.get(text.lower(), text)
    if delimiter is not None and (len(delimiter) != 1 or delimiter in '"\r\n'):
        raise CommandFailed(f"--delimiter {text}: must be one character, or tab", BAD_INPUT)
    return delimiter


def parse_workspace(text: str | None) -> UUID | None:
    """Raises CommandFailed."""
    try:
        return None if text is None else UUID(text)
    except ValueError:
        raise CommandFailed(f"--workspace {text}: is no id of a workspace", BAD_INPUT) from None


@contextmanager
def _progress() -> Iterator[tuple[OnRead, OnLoaded]]:
    """Reading by bytes of the file as it lies there, since nobody knows how many rows are left; sending by rows."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        reading = progress.add_task("reading", total=None)
        sending = progress.add_task("sending", total=None)

        def on_read(done: int, size: int) -> None:
            progress.update(reading, completed=done, total=size)

        def on_loaded(done: int, rows: int) -> None:
            progress.update(sending, completed=done, total=rows)

        yield on_read, on_loaded

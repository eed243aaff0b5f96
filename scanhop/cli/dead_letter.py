"""`scanhop dead-letter`: shows what ingest could not make rows of, and hands it back."""

import json
import sys
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.filesize import decimal
from rich.markup import escape
from rich.table import Table

from ingest.dead_letters import CannotReplay, DeadLetter, Kind, hand_back, list_dead_letters
from scanhop.cli.failure import CommandFailed

_COLUMNS = ("id", "what", "rows", "size", "since", "reason")
_WIDTH, _WIDTH_IN_A_FILE = 140, 250  # so that an id stays in one piece


def show_dead_letters(root: Path, *, as_json: bool) -> None:
    """Raises CommandFailed when there is no spool."""
    letters = _find(root)
    if as_json:
        sys.stdout.write(json.dumps([_as_json(letter) for letter in letters], indent=2) + "\n")
    elif letters:
        _print_table(letters)
    else:
        sys.stdout.write("no dead letters\n")


def replay(root: Path, wanted: str | None) -> None:
    """Of the letter with that id, or of all that can be. Raises CommandFailed when it cannot be done."""
    letters = [letter for letter in _find(root) if wanted in (None, letter.id)]
    if wanted is not None and not letters:
        raise CommandFailed(f"there is no dead letter {wanted}; `scanhop dead-letter list` shows them")
    chosen = [letter for letter in letters if wanted is not None or letter.kind in (Kind.PARKED, Kind.REJECTED)]
    refused = [problem for letter in chosen if (problem := _hand_back(letter)) is not None]
    for letter in letters:
        if letter not in chosen:
            sys.stdout.write(f"left as it is: {letter.id} ({letter.reason})\n")
    if refused:
        raise CommandFailed("\n  ".join(["not replayed", *refused]))
    if not chosen:
        sys.stdout.write("nothing to replay\n")


def _find(root: Path) -> list[DeadLetter]:
    try:
        if not root.is_dir():
            raise CommandFailed(f"there is no spool at {root}; SCANHOP_SPOOL_DIR or --data-dir says where it is")
        return list_dead_letters(root)
    except OSError as error:
        raise CommandFailed(f"the spool {root} cannot be read: {error.strerror}") from error


def _hand_back(letter: DeadLetter) -> str | None:
    """What was in the way."""
    try:
        hand_back(letter)
    except CannotReplay as error:
        return f"{letter.id}: {error}"
    except OSError as error:
        return f"{letter.id}: {error.strerror}"
    sys.stdout.write(f"handed to ingest: {letter.id}\n")
    return None


def _print_table(letters: list[DeadLetter]) -> None:
    table = Table(*_COLUMNS, box=None, header_style="bold", pad_edge=False)
    table.columns[0].no_wrap = True
    table.columns[-1].overflow = "fold"
    for letter in letters:
        rows = "?" if letter.rows is None else str(letter.rows)
        size, since = decimal(letter.bytes), f"{_since(letter):%Y-%m-%d %H:%M} UTC"
        table.add_row(letter.id, letter.kind, rows, size, since, escape(letter.reason))
    console = Console()
    width = max(console.width, _WIDTH) if console.is_terminal else _WIDTH_IN_A_FILE
    Console(width=width).print(table)


def _as_json(letter: DeadLetter) -> dict[str, object]:
    return {
        "id": letter.id,
        "what": letter.kind,
        "segment": letter.segment.number,
        "spool_id": str(letter.segment.spool_id),
        "reason": letter.reason,
        "rows": letter.rows,
        "bytes": letter.bytes,
        "since": _since(letter).isoformat(timespec="seconds"),
        "path": str(letter.path),
    }


def _since(letter: DeadLetter) -> datetime:
    return datetime.fromtimestamp(letter.since, UTC)

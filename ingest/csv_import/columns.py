"""Which field of a row is which of our columns. docs/import.md describes them."""

from collections.abc import Mapping, Sequence

from ingest.csv_import.failure import ImportRefused, RowRejected

COLUMNS = (
    *("short_code", "qr_id", "scanned_at", "ip", "user_agent", "referer", "language", "country", "region", "city"),
    *("device_type", "os", "browser", "is_bot", "outcome"),
)
# What the view scan_logs calls them.
ALIASES = {"device": "device_type", "referrer": "referer"}
_REQUIRED = (("short_code", "qr_id"), ("scanned_at",))


class Columns:
    """Of one file. `ignored` are its columns that are none of ours."""

    def __init__(self, header: Sequence[str], places: Mapping[str, int]) -> None:
        self._width = len(header)
        self._places = [(name, place) for name, place in places.items()]
        self.ignored = [name for place, name in enumerate(header) if place not in places.values()]

    def cut(self, fields: Sequence[str]) -> dict[str, str]:
        """By our names, trimmed, empty ones left out. Raises RowRejected."""
        if len(fields) != self._width and (len(fields) < self._width or any(fields[self._width :])):
            raise RowRejected(f"{len(fields)} fields, the header has {self._width}")
        row = {}
        for name, place in self._places:
            value = fields[place].strip()
            if "\0" in value:
                raise RowRejected(f"{name}: holds a NUL character")
            if value:
                row[name] = value
        return row


def find_columns(header: Sequence[str], mapping: Mapping[str, str]) -> Columns:
    """`mapping`: ours to theirs; theirs empty leaves ours out. Raises ImportRefused."""
    if unknown := sorted(set(mapping) - set(COLUMNS)):
        raise ImportRefused(f"there is no column {', '.join(unknown)}; there are {', '.join(COLUMNS)}")
    theirs = _by_name(header)
    places = {}
    for ours in COLUMNS:
        place = _find_place(ours, theirs, mapping)
        if place is not None:
            places[ours] = place
    for choice in _REQUIRED:
        if not any(name in places for name in choice):
            raise ImportRefused(f"no column {' or '.join(choice)} among: {', '.join(header)} (see --map)")
    return Columns(header, places)


def _by_name(header: Sequence[str]) -> dict[str, int]:
    """Names count in any letter case."""
    theirs: dict[str, int] = {}
    for place, name in enumerate(header):
        if name and theirs.setdefault(name.casefold(), place) != place:
            raise ImportRefused(f"two columns are named {name}")
    return theirs


def _find_place(ours: str, theirs: Mapping[str, int], mapping: Mapping[str, str]) -> int | None:
    if ours in mapping:
        wanted = mapping[ours]
        if wanted and wanted.casefold() not in theirs:
            raise ImportRefused(f"no column {wanted} to take {ours} from")
        return theirs[wanted.casefold()] if wanted else None
    taken = {name.casefold() for name in mapping.values()}
    names = [ours, *(alias for alias, meant in ALIASES.items() if meant == ours)]
    return next((theirs[name] for name in names if name in theirs and name not in taken), None)

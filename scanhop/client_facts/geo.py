"""Where an address is, by a database in the MMDB format: MaxMind's shape, or the flat one of the free databases.

The C reader of maxminddb gives a record. What MaxMind's means, `geoip2`'s models say; its own reader is not used, for
it refuses databases by their type. A model costs 5 us, which is spent once for each network that is remembered.

The path is a file, or a folder of files `*.mmdb`: free databases come as one file for each version of IP. Of several
for one version the first by name is read. The files are mapped into memory and opened again when they change, which
is looked for once a second: replace a file by renaming another over it, never by writing into it.

No path: every place is unknown. No file, or one that is broken: the same, and one line in the log says so.
"""

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from socket import AF_INET, AF_INET6, inet_ntop
from typing import Any

import maxminddb
import msgspec
from geoip2.models import City

from scanhop.client_facts.client_address import Address
from scanhop.telemetry.logs import get_logger

CACHED_PLACES = 20_000
CHECK_EVERY_S = 1.0
MAX_NAME_LENGTH = 100
TRIED_RECORDS = 1000
_LOCALES = ("en",)
_FAMILIES = {4: AF_INET, 16: AF_INET6}
_BYTES = {4: 4, 6: 16}

_BROKEN = (maxminddb.InvalidDatabaseError, ValueError, KeyError)

_log = get_logger()

Signature = tuple[tuple[str, int, int, int], ...]


class Place(msgspec.Struct, frozen=True, gc=False):
    """`country` is an ISO 3166 code, the others are English names; each empty where unknown."""

    country: str = ""
    region: str = ""
    city: str = ""


NOWHERE = Place()


class BrokenDatabase(Exception):
    """The file is no database of places; the message says what it is."""


class GeoReader:
    """Reads places; never raises. `clock` in seconds."""

    def __init__(
        self,
        path: Path | None,
        clock: Callable[[], float] = time.monotonic,
        cached_places: int = CACHED_PLACES,
    ) -> None:
        self._path = path
        self._clock = clock
        self._cached_places = cached_places
        self._signature: Signature | None = None
        self._databases: dict[int, maxminddb.Reader] = {}
        self._forget()
        self._check_at = float("-inf")

    def read(self, address: Address | None) -> Place:
        return NOWHERE if address is None else self.read_many((address.packed,))[0]

    def read_many(self, addresses: Sequence[bytes]) -> list[Place]:
        """Of addresses of 4 or 16 bytes each, or none; all by the same databases."""
        if self._path is None:
            return [NOWHERE] * len(addresses)
        now = self._clock()
        if now >= self._check_at:
            self._check_at = now + CHECK_EVERY_S
            self._reopen_if_changed(self._path)
        find = self._find
        return [find(address) for address in addresses]

    def _find(self, address: bytes) -> Place:
        number = int.from_bytes(address)
        for shift, places in self._networks[len(address)]:
            place = places.get(number >> shift)
            if place is not None:
                return place
        return self._look_up(address, number)

    def _look_up(self, address: bytes, number: int) -> Place:
        database = self._databases.get(len(address))
        if database is None:
            return NOWHERE
        try:
            record, prefix_length = database.get_with_prefix_len(inet_ntop(_FAMILIES[len(address)], address))
        except _BROKEN as error:
            _log.error("geoip_broken", path=str(self._path), error=str(error))
            self._databases.clear()
            self._forget()
            return NOWHERE
        return self._remember(len(address), number, 8 * len(address) - prefix_length, place_of(record))

    def _remember(self, length: int, number: int, shift: int, place: Place) -> Place:
        """Equal places are one object. What most networks are found under is looked into first."""
        if self._remembered >= self._cached_places:
            self._forget()
        self._remembered += 1
        place = self._distinct.setdefault(place, place)
        networks = self._networks[length]
        places = next((places for known, places in networks if known == shift), None)
        if places is None:
            places = {}
            networks.append((shift, places))
        places[number >> shift] = place
        networks.sort(key=_by_size)
        return place

    def _forget(self) -> None:
        """The networks that were looked up: by the length of addresses, then by the bits behind the prefix."""
        self._networks: dict[int, list[tuple[int, dict[int, Place]]]] = {0: [], 4: [], 16: []}
        self._distinct: dict[Place, Place] = {}
        self._remembered = 0

    def _reopen_if_changed(self, path: Path) -> None:
        try:
            signature = _signature(path)
        except OSError:
            signature = ()
        if signature == self._signature:
            return
        self._signature = signature
        self._forget()
        self._databases = _open_databases([Path(name) for name, *_ in signature])
        if not signature:
            _log.warning("geoip_missing", path=str(path))


def describe_database(file: Path) -> str:
    """Its type and age, such as "GeoLite2-City of 2026-11-03". Raises BrokenDatabase, OSError."""
    try:
        with maxminddb.open_database(file) as database:
            about = database.metadata()
            tells_places = any(place_of(record) != NOWHERE for _, record in islice(database, TRIED_RECORDS))
        built = datetime.fromtimestamp(about.build_epoch, UTC)
    except (*_BROKEN, OverflowError) as error:
        raise BrokenDatabase(f"not a GeoIP database: {error}") from error
    if not tells_places:
        raise BrokenDatabase(f"a database of type {about.database_type}, which tells no places")
    return f"{about.database_type} of {built:%Y-%m-%d}"


def place_of(record: object) -> Place:
    """A record of either shape; whatever it lacks, or says in another way, is unknown."""
    if not isinstance(record, dict):
        return NOWHERE
    if "country_code" in record:
        return Place(_text(record["country_code"]).upper(), _text(record.get("state1")), _text(record.get("city")))
    return _place_of_maxmind(record)


def _place_of_maxmind(record: dict[str, Any]) -> Place:
    """Of a record of a City or Enterprise database, or of a Country database, which has no city.

    The region is the largest subdivision, by its code where it has no English name. The models take what they are
    given: a record in no shape of MaxMind's shows as a TypeError or AttributeError, or as a value of another type.
    """
    parts = {name: record.get(name) for name in ("country", "subdivisions", "city")}
    try:
        found = City(_LOCALES, **parts)
        region = found.subdivisions[0] if found.subdivisions else None
        return Place(
            _text(found.country.iso_code).upper(),
            (_text(region.name) or _text(region.iso_code)) if region else "",
            _text(found.city.name),
        )
    except (TypeError, AttributeError):
        return NOWHERE


def _by_size(networks: tuple[int, dict[int, Place]]) -> int:
    return -len(networks[1])


def _signature(path: Path) -> Signature:
    """What differs when a database was put in place of another. Raises OSError."""
    files = sorted(path.glob("*.mmdb")) if path.is_dir() else [path]
    states = [(str(file), file.stat()) for file in files]
    return tuple((name, state.st_ino, state.st_size, state.st_mtime_ns) for name, state in states)


def _open_databases(files: list[Path]) -> dict[int, maxminddb.Reader]:
    """The one to ask, by the length of addresses. One of IPv6 holds IPv4 too; one of IPv4 alone goes before it."""
    by_length: dict[int, maxminddb.Reader] = {}
    for file in files:
        try:
            database = maxminddb.open_database(file)
            by_length.setdefault(_BYTES[database.metadata().ip_version], database)
        except (OSError, *_BROKEN) as error:
            _log.error("geoip_broken", path=str(file), error=str(error))
    if 16 in by_length:
        by_length.setdefault(4, by_length[16])
    return by_length


def _text(value: object) -> str:
    return value[:MAX_NAME_LENGTH] if isinstance(value, str) else ""

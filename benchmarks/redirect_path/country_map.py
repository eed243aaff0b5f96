"""A small country database, made for the run: the first byte of an IPv4 address says the country."""

from pathlib import Path

from mmdb_writer import MMDBWriter
from netaddr import IPSet  # type: ignore[import-untyped]

COUNTRIES = ("US", "DE", "FR", "GB", "JP", "CH", "AT", "BR", "IN", "KR")
FIRST_BYTES = range(20, 220)


def write_country_map(path: Path) -> None:
    writer = MMDBWriter(ip_version=4, database_type="GeoLite2-City", languages=["en"])
    for first in FIRST_BYTES:
        writer.insert_network(IPSet([f"{first}.0.0.0/8"]), {"country": {"iso_code": country_of(first)}})
    writer.to_db_file(str(path))


def country_of(first_byte: int) -> str:
    return COUNTRIES[first_byte % len(COUNTRIES)]


def first_byte_in(country: str) -> int:
    return next(first for first in FIRST_BYTES if country_of(first) == country)

"""Small databases in the MMDB format."""

from pathlib import Path

import mmdb_writer
from netaddr import IPSet

Records = dict[str, dict[str, object]]


def write_mmdb(path: Path, records: Records, ip_version: int = 4) -> Path:
    """`records` by network. The file takes the place of another in one step."""
    writer = mmdb_writer.MMDBWriter(ip_version, "Test", ipv4_compatible=ip_version == 6)
    for network, record in records.items():
        writer.insert_network(IPSet([network]), record)
    new = path.with_suffix(".new")
    writer.to_db_file(str(new))
    return new.replace(path)


def maxmind(country: str, region: str = "", city: str = "") -> dict[str, object]:
    return {
        "country": {"iso_code": country, "names": {"en": f"Country {country}"}},
        "subdivisions": [{"iso_code": region[:2].upper(), "names": {"en": region}}],
        "city": {"names": {"en": city, "de": f"{city} (de)"}},
    }


def flat(country: str, region: str = "", city: str = "") -> dict[str, object]:
    return {"country_code": country, "state1": region, "city": city, "latitude": 1.5, "longitude": 2.5}

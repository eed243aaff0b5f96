"""A made-up world of the size of a city database: networks with places, and addresses in them.

The database has the flat shape of the free city databases, with both versions of IP in one file: 150,000 networks of
IPv4 between /20 and /26, 50,000 of IPv6 between /32 and /48, 60,000 places. All of it follows from the seed.
"""

import random
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

import mmdb_writer
from netaddr import IPNetwork, IPSet

SEED = 2026
IPV4_NETWORKS, IPV6_NETWORKS, PLACES = 150_000, 50_000, 60_000
IPV6_SHARE = 0.3
COUNTRIES = (
    "AT",
    "BR",
    "CH",
    "CZ",
    "DE",
    "ES",
    "FR",
    "GB",
    "HU",
    "ID",
    "IN",
    "IT",
    "JP",
    "MX",
    "NL",
    "PL",
    "TR",
    "US",
)

Network = tuple[int, int, int]
"""First address, length of its prefix, bits of an address."""


def list_networks() -> list[Network]:
    """Disjoint."""
    chance = random.Random(SEED)
    blocks = chance.sample(range(1 << 12, 223 << 12), IPV4_NETWORKS)  # of /20, from 1.0.0.0 to 223.0.0.0
    four = [(block << 12, chance.randint(20, 26), 32) for block in blocks]
    sites = chance.sample(range(0x2001_0000, 0x2C00_0000), IPV6_NETWORKS)
    return four + [(site << 96, chance.randint(32, 48), 128) for site in sites]


def write_database(path: Path) -> None:
    """Takes half a minute."""
    chance = random.Random(SEED)
    places = [_place(number, chance) for number in range(PLACES)]
    writer = mmdb_writer.MMDBWriter(6, "Made-up city", ipv4_compatible=True)
    for first, prefix, bits in list_networks():
        network = IPNetwork((first, prefix), version=4 if bits == 32 else 6)
        writer.insert_network(IPSet([network]), chance.choice(places))
    unfinished = path.with_suffix(".unfinished")
    writer.to_db_file(str(unfinished))
    unfinished.rename(path)


def list_addresses(count: int, chance: random.Random) -> list[bytes]:
    """Distinct; three in ten of IPv6; each in a network drawn anew, so that neighbours are rare."""
    networks = list_networks()
    four, six = networks[:IPV4_NETWORKS], networks[IPV4_NETWORKS:]
    found: dict[bytes, None] = {}
    while len(found) < count:
        first, prefix, bits = chance.choice(six if chance.random() < IPV6_SHARE else four)
        found[(first + chance.getrandbits(bits - prefix)).to_bytes(bits // 8)] = None
    return list(found)


def written(addresses: list[bytes]) -> Iterator[str]:
    for address in addresses:
        yield str(IPv4Address(address) if len(address) == 4 else IPv6Address(address))


def _place(number: int, chance: random.Random) -> dict[str, object]:
    return {
        "country_code": chance.choice(COUNTRIES),
        "state1": f"Region {number % 3000}",
        "city": f"City {number}",
        "postcode": f"{chance.randrange(100_000):05}",
        "latitude": chance.uniform(-60, 70),
        "longitude": chance.uniform(-180, 180),
        "timezone": "Europe/Vienna",
    }

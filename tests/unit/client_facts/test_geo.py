import ipaddress
import shutil
from pathlib import Path

import pytest
from geoip2.models import City
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from scanhop.client_facts import geo
from scanhop.client_facts.geo import CACHED_PLACES, CHECK_EVERY_S, NOWHERE, GeoReader, Place, place_of
from tests.unit.client_facts.mmdb import Records, flat, maxmind, write_mmdb

VIENNA = Place("AT", "Vienna", "Vienna")
BERLIN = Place("DE", "Berlin", "Berlin")
TO_VIENNA: Records = {"192.0.2.0/24": flat("AT", "Vienna", "Vienna")}
TO_BERLIN: Records = {"192.0.2.0/24": flat("DE", "Berlin", "Berlin")}
SOMEWHERE = "192.0.2.7"


class Clock:
    """A clock that stands still until it is told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def go_on(self) -> None:
        self.now += CHECK_EVERY_S


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "city.mmdb"


def place(reader: GeoReader, address: str) -> Place:
    return reader.read(ipaddress.ip_address(address))


@pytest.mark.parametrize("shape", [maxmind, flat])
def test_both_shapes_of_records_are_read(path, shape):
    reader = GeoReader(write_mmdb(path, {"192.0.2.0/24": shape("AT", "Lower Austria", "St. P\u00f6lten")}))
    assert place(reader, SOMEWHERE) == Place("AT", "Lower Austria", "St. P\u00f6lten")
    assert place(reader, "198.51.100.1") == NOWHERE


@pytest.mark.parametrize("shape", [maxmind, flat])
def test_a_database_of_ipv6_knows_both_kinds_of_addresses(path, shape):
    records = {"192.0.2.0/24": shape("AT", "Vienna", "Vienna"), "2001:db8::/32": shape("DE", "Berlin", "Berlin")}
    reader = GeoReader(write_mmdb(path, records, ip_version=6))
    assert place(reader, SOMEWHERE) == VIENNA
    assert place(reader, "2001:db8::7") == BERLIN
    assert place(reader, "2001:db9::7") == NOWHERE


def test_a_database_of_ipv4_knows_no_address_of_ipv6(path):
    assert place(GeoReader(write_mmdb(path, TO_VIENNA)), "2001:db8::7") == NOWHERE


def test_a_folder_may_hold_a_database_for_each_kind_of_address(tmp_path):
    write_mmdb(tmp_path / "city-ipv4.mmdb", TO_VIENNA)
    write_mmdb(tmp_path / "city-ipv6.mmdb", {"2001:db8::/32": flat("DE", "Berlin", "Berlin")}, ip_version=6)
    (tmp_path / "LICENSE").write_text("not a database")
    reader = GeoReader(tmp_path)
    assert place(reader, SOMEWHERE) == VIENNA
    assert place(reader, "2001:db8::7") == BERLIN


def test_nobody_is_nowhere(path):
    assert GeoReader(write_mmdb(path, TO_VIENNA)).read(None) == NOWHERE


def test_networks_smaller_than_what_is_remembered_together_are_told_apart(path):
    records = {
        "192.0.2.0/25": flat("AT"),
        "192.0.2.128/32": flat("DE"),
        "192.0.2.129/32": flat("CH"),
        "2001:db8::/64": flat("AT"),
        "2001:db8:0:1::/64": flat("DE"),
    }
    reader = GeoReader(write_mmdb(path, records, ip_version=6))
    for _ in range(2):
        assert [place(reader, f"192.0.2.{last}").country for last in (1, 127, 128, 129, 130)] == [
            "AT",
            "AT",
            "DE",
            "CH",
            "",
        ]
        assert place(reader, "2001:db8::1").country == "AT"
        assert place(reader, "2001:db8:0:1::1").country == "DE"


def test_places_are_remembered_by_network_within_a_bound(path):
    networks = [f"10.{number >> 8}.{number & 255}.0/{24 + number % 3}" for number in range(CACHED_PLACES + 1000)]
    reader = GeoReader(
        write_mmdb(path, {network: flat(f"{number % 676}") for number, network in enumerate(networks)})
    )
    reader.read_many([])  # opens it
    databases = dict(reader._databases)
    for _ in range(2):
        for number in range(CACHED_PLACES):
            assert place(reader, f"10.{number >> 8}.{number & 255}.{number % 64}").country == f"{number % 676}"
        assert reader._remembered == CACHED_PLACES
        reader._databases.clear()  # what is remembered needs none
    reader._databases.update(databases)
    for number in range(CACHED_PLACES, CACHED_PLACES + 1000):
        assert place(reader, f"10.{number >> 8}.{number & 255}.1").country == f"{number % 676}"
    assert reader._remembered == 1000


@given(st.lists(st.tuples(st.integers(0, 255), st.integers(24, 32)), max_size=20), st.lists(st.integers(0, 255)))
def test_what_is_remembered_is_what_the_database_says(tmp_path_factory, networks, asked):
    path = tmp_path_factory.mktemp("geo") / "city.mmdb"
    records = {
        str(ipaddress.ip_network((f"192.0.2.{first}", prefix), strict=False)): flat(f"{number}")
        for number, (first, prefix) in enumerate(networks)
    }
    reader = GeoReader(write_mmdb(path, records))
    addresses = [bytes((192, 0, 2, last)) for last in asked]
    fresh = [GeoReader(path).read_many([address])[0] for address in addresses]
    assert reader.read_many(addresses) == reader.read_many(addresses) == fresh


def test_many_at_once_are_where_each_is(path):
    reader = GeoReader(write_mmdb(path, TO_VIENNA, ip_version=6))
    addresses = [b"\xc0\0\2\7", b"", b"\xc6\0\2\7", bytes(16), b"\xc0\0\2\x08"]
    assert reader.read_many(addresses) == [VIENNA, NOWHERE, NOWHERE, NOWHERE, VIENNA]


def test_a_database_that_takes_the_place_of_another_is_read(path, clock):
    reader = GeoReader(write_mmdb(path, TO_VIENNA), clock)
    assert place(reader, SOMEWHERE) == VIENNA
    write_mmdb(path, TO_BERLIN)
    assert place(reader, SOMEWHERE) == VIENNA
    clock.go_on()
    assert place(reader, SOMEWHERE) == BERLIN


def test_a_database_that_comes_later_is_read(path, clock):
    reader = GeoReader(path, clock)
    assert place(reader, SOMEWHERE) == NOWHERE
    write_mmdb(path, TO_VIENNA)
    clock.go_on()
    assert place(reader, SOMEWHERE) == VIENNA


def test_a_database_that_goes_away_leaves_nowhere(path, clock):
    reader = GeoReader(write_mmdb(path, TO_VIENNA), clock)
    assert place(reader, SOMEWHERE) == VIENNA
    path.unlink()
    clock.go_on()
    assert place(reader, SOMEWHERE) == NOWHERE


def test_a_file_that_did_not_change_is_not_opened_again(path, clock):
    reader = GeoReader(write_mmdb(path, TO_VIENNA), clock)
    place(reader, SOMEWHERE)
    opened = reader._databases[4]
    clock.go_on()
    place(reader, SOMEWHERE)
    assert reader._databases[4] is opened


def test_without_a_path_all_is_nowhere_and_nothing_is_said():
    with capture_logs() as lines:
        assert place(GeoReader(None), SOMEWHERE) == NOWHERE
    assert lines == []


def test_an_absent_file_is_said_once(path, clock):
    reader = GeoReader(path, clock)
    with capture_logs() as lines:
        for _ in range(3):
            assert place(reader, SOMEWHERE) == NOWHERE
            clock.go_on()
    assert lines == [{"event": "geoip_missing", "log_level": "warning", "path": str(path)}]


@pytest.mark.parametrize("content", [b"", b"nonsense", b"\xab\xcd\xefMaxMind.com", b"\0" * 100_000])
def test_a_broken_file_is_said_once(path, clock, content):
    path.write_bytes(content)
    reader = GeoReader(path, clock)
    with capture_logs() as lines:
        for _ in range(3):
            assert place(reader, SOMEWHERE) == NOWHERE
            clock.go_on()
    assert [line["event"] for line in lines] == ["geoip_broken"]


def test_a_broken_file_beside_a_good_one_does_no_harm(tmp_path):
    write_mmdb(tmp_path / "b.mmdb", TO_VIENNA)
    (tmp_path / "a.mmdb").write_bytes(b"nonsense")
    assert place(GeoReader(tmp_path), SOMEWHERE) == VIENNA


def test_a_database_damaged_anywhere_never_raises(path, tmp_path):
    whole = write_mmdb(path, TO_VIENNA).read_bytes()
    for at in range(0, len(whole), 3):
        damaged = tmp_path / f"damaged{at}.mmdb"
        damaged.write_bytes(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
        assert isinstance(place(GeoReader(damaged), SOMEWHERE), Place)
        damaged.unlink()


def test_a_mended_file_is_read_again(path, tmp_path, clock):
    path.write_bytes(b"nonsense")
    reader = GeoReader(path, clock)
    assert place(reader, SOMEWHERE) == NOWHERE
    shutil.move(write_mmdb(tmp_path / "good.mmdb", TO_VIENNA), path)
    clock.go_on()
    assert place(reader, SOMEWHERE) == VIENNA


@pytest.mark.parametrize(
    ("record", "found"),
    [
        (None, NOWHERE),
        ("AT", NOWHERE),
        ({}, NOWHERE),
        ({"country_code": "at"}, Place("AT")),
        ({"country_code": None, "city": 7, "state1": ["x"]}, NOWHERE),
        ({"country": {"iso_code": "AT"}}, Place("AT")),
        ({"country": {"iso_code": "AT"}, "subdivisions": [{"iso_code": "9"}]}, Place("AT", "9")),
        ({"country": "AT", "subdivisions": [], "city": {"names": {"de": "Wien"}}}, NOWHERE),
        ({"country": {"iso_code": 7}, "subdivisions": {"0": 1}, "city": {"names": ["Wien"]}}, NOWHERE),
        ({"country": {"iso_code": "AT"}, "city": "Vienna"}, NOWHERE),
        ({"country": {"iso_code": "AT"}, "a_field": "of later years"}, Place("AT")),
        ({"country_code": "AT", "city": "x" * 1000}, Place("AT", "", "x" * 100)),
    ],
)
def test_what_a_record_lacks_is_unknown(record, found):
    assert place_of(record) == found


def test_all_that_a_city_database_of_maxmind_says_is_understood(path):
    """A record as GeoLite2-City has them."""

    def names(english: str) -> dict[str, str]:
        return {"de": f"{english} (de)", "en": english, "zh-CN": "\u4e2d"}

    record: dict[str, object] = {
        "city": {"geoname_id": 2655045, "names": names("Boxford")},
        "continent": {"code": "EU", "geoname_id": 6255148, "names": names("Europe")},
        "country": {"geoname_id": 2635167, "iso_code": "GB", "names": names("United Kingdom")},
        "location": {"accuracy_radius": 100, "latitude": 51.75, "longitude": -1.25, "time_zone": "Europe/London"},
        "postal": {"code": "OX1"},
        "registered_country": {"geoname_id": 3017382, "iso_code": "FR", "names": names("France")},
        "subdivisions": [
            {"geoname_id": 6269131, "iso_code": "ENG", "names": names("England")},
            {"geoname_id": 3333217, "iso_code": "WBK", "names": names("West Berkshire")},
        ],
        "traits": {"is_anycast": True},
    }
    reader = GeoReader(write_mmdb(path, {"192.0.2.0/24": record}))
    assert place(reader, SOMEWHERE) == Place("GB", "England", "Boxford")


def test_a_country_database_of_maxmind_tells_the_country(path):
    record: dict[str, object] = {
        "country": {"iso_code": "AT", "is_in_european_union": True, "names": {"en": "Austria"}},
        "registered_country": {"iso_code": "DE", "names": {"en": "Germany"}},
    }
    assert place(GeoReader(write_mmdb(path, {"192.0.2.0/24": record})), SOMEWHERE) == Place("AT")


def test_a_record_is_made_sense_of_once_for_each_network(path, monkeypatch):
    made = []
    monkeypatch.setattr(geo, "City", lambda *given, **parts: made.append(1) or City(*given, **parts))
    reader = GeoReader(write_mmdb(path, {"192.0.2.0/24": maxmind("AT", "Vienna", "Vienna")}))
    reader.read_many([bytes((192, 0, 2, last)) for last in range(256)] * 3)
    assert len(made) == 1


parts = st.recursive(
    st.none() | st.text(max_size=5) | st.integers(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["names", "en", "iso_code"]), inner),
)


@given(parts | st.dictionaries(st.sampled_from(["country_code", "state1", "city", "country", "subdivisions"]), parts))
def test_any_record_is_some_place(record):
    assert isinstance(place_of(record), Place)

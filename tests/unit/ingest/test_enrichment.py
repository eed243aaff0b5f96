"""Asks for one scan at a time; that many at once give the same is asked below."""

import asyncio
import ipaddress
from collections.abc import Mapping
from dataclasses import fields
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from ingest.enrichment import Enrichment, Figures, IpStorage, Step
from ingest.scan_reader import Rejection, Scans
from ingest.visitors import NO_VISITOR, Visitors
from scanhop.client_facts.bots import BotReason
from scanhop.client_facts.device import DeviceType
from scanhop.client_facts.geo import NOWHERE, GeoReader, Place
from scanhop.wire.scan_record import HEADERS, Outcome, encode_headers, encode_route_prefix, encode_scan
from tests.routes import PHONE, new_route
from tests.unit.client_facts.mmdb import flat, write_mmdb

NOON = 1_800_014_400_000_000_000  # 2027-01-15, 12:00 UTC
DAY_NS = 86_400 * 10**9
TODAY = date(2027, 1, 15)
TRUSTED = (ipaddress.ip_network("10.0.0.0/8"),)
PEER = b"\xcb\0\x71\x4d"  # 203.0.113.77
PREFIX = encode_route_prefix(new_route(code="menu"))


def visitors() -> Visitors:
    async def read_salts() -> Mapping[date, bytes]:
        return {TODAY: bytes(32)}

    made = Visitors(read_salts)
    asyncio.run(made.refresh())
    return made


def enrichment(ip_storage: IpStorage = "truncated", geo_reader: GeoReader | None = None) -> Enrichment:
    return Enrichment(visitors(), TRUSTED, ip_storage, geo_reader)


ENRICHMENT = enrichment()
FULL = enrichment("full")


def record(
    headers: dict[bytes, bytes] | None = None,
    peer: bytes = PEER,
    at_ns: int = NOON,
    outcome: Outcome = Outcome.REDIRECT,
) -> bytes:
    sent = {b"user-agent": PHONE} if headers is None else headers
    return encode_scan(PREFIX, at_ns, outcome, peer, encode_headers(list(sent.items())))


class One:
    """The columns' values for the only scan."""

    def __init__(self, scans: Scans) -> None:
        self._scans = scans

    def __getattr__(self, column: str) -> Any:
        (value,) = getattr(self._scans, column)
        return value


def enrich(payload: bytes, by: Enrichment = ENRICHMENT) -> One:
    scans, rejected = by.enrich([(0, payload)])
    assert not rejected
    return One(scans)


records = st.builds(
    record,
    headers=st.dictionaries(st.sampled_from(HEADERS), st.binary(max_size=80)),
    peer=st.sampled_from([0, 4, 16]).flatmap(lambda size: st.binary(min_size=size, max_size=size)),
    at_ns=st.integers(NOON - 10 * DAY_NS, NOON + 10 * DAY_NS),
)


def test_the_client_is_the_peer():
    assert enrich(record()).addresses == PEER


def test_behind_a_trusted_proxy_the_client_is_whom_it_names():
    scan = enrich(record({b"x-forwarded-for": b"1.1.1.1, 198.51.100.9"}, peer=b"\x0a\0\0\1"))
    assert scan.addresses == ipaddress.ip_address("198.51.100.9").packed


def test_device_system_and_browser_are_read():
    device = enrich(record()).devices
    assert (device.device_type, device.os, device.browser) == (DeviceType.MOBILE, "iOS", "Mobile Safari")


def test_without_a_user_agent_the_device_is_some_other():
    assert enrich(record({})).devices.device_type is DeviceType.OTHER


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({b"user-agent": PHONE}, BotReason.NONE),
        ({b"user-agent": PHONE, b"purpose": b"prefetch"}, BotReason.PREFETCH),
        ({b"user-agent": b"Googlebot/2.1"}, BotReason.CRAWLER),
    ],
)
def test_a_bot_is_marked_with_the_reason(headers, reason):
    assert enrich(record(headers)).bot_reasons is reason


def test_the_visitor_is_the_client_and_not_the_proxy():
    through_one = enrich(record({b"x-forwarded-for": b"198.51.100.9"}, peer=b"\x0a\0\0\1"))
    through_two = enrich(record({b"x-forwarded-for": b"198.51.100.9"}, peer=b"\x0a\0\0\2"))
    direct = enrich(record({}, peer=ipaddress.ip_address("198.51.100.9").packed))
    assert through_one.visitors == through_two.visitors == direct.visitors != NO_VISITOR


@pytest.mark.parametrize(
    "other",
    [
        record(peer=b"\xcb\0\x71\x4e"),
        record({b"user-agent": b"another"}),
        record({b"user-agent": PHONE, b"accept-language": b"de"}),
    ],
)
def test_visitors_of_one_network_are_told_apart_though_their_address_is_truncated(other):
    assert enrich(other).visitors != enrich(record()).visitors


def test_on_a_day_without_salt_nobody_is_known():
    assert enrich(record(at_ns=NOON - 2 * 86_400 * 10**9)).visitors == NO_VISITOR


def test_without_an_address_nobody_is_known_and_none_is_stored():
    scan = enrich(record(peer=b""), FULL)
    assert (scan.addresses, scan.visitors, scan.ips, scan.places) == (b"", NO_VISITOR, "", NOWHERE)


def test_the_language_is_the_one_asked_for():
    assert enrich(record({b"accept-language": b"de-AT, en;q=0.5"})).languages == "de"


@pytest.mark.parametrize(
    ("ip_storage", "peer", "stored"),
    [
        ("truncated", "203.0.113.77", "203.0.113.0"),
        ("full", "203.0.113.77", "203.0.113.77"),
        ("none", "203.0.113.77", ""),
        ("truncated", "2001:db8:1:2::3", "2001:db8:1::"),
        ("full", "2001:db8:1:2::3", "2001:db8:1:2::3"),
        ("none", "2001:db8:1:2::3", ""),
        ("truncated", "::ffff:203.0.113.77", "203.0.113.0"),
    ],
)
def test_the_address_is_stored_as_the_setting_says(ip_storage, peer, stored):
    assert enrich(record(peer=ipaddress.ip_address(peer).packed), enrichment(ip_storage)).ips == stored


def test_how_an_address_is_stored_does_not_change_who_the_visitor_is():
    assert enrich(record(), enrichment("none")).visitors == enrich(record(), FULL).visitors


@given(records)
def test_any_record_can_be_enriched(found):
    scan = enrich(found, FULL)
    assert scan.ips == "" or ipaddress.ip_address(scan.ips)
    assert 0 <= scan.visitors < 2**64
    truncated = enrich(found).ips
    assert truncated in ("", str(ipaddress.ip_address(truncated or "::")))


@given(records)
def test_the_same_record_always_gives_the_same(found):
    assert ANOTHER.enrich([(0, found)]) == ENRICHMENT.enrich([(0, found)]) == ENRICHMENT.enrich([(0, found)])


@given(st.lists(records | st.binary(max_size=120), max_size=6))
def test_many_at_once_give_what_each_gives_by_itself(found):
    together, rejected = ENRICHMENT.enrich(list(enumerate(found)))
    apart = Scans()
    for number, payload in enumerate(found):
        scans, _ = ENRICHMENT.enrich([(number, payload)])
        if number in together.numbers:
            apart.extend(scans)
    assert together == apart
    assert sorted(together.numbers + [record.number for record in rejected]) == list(range(len(found)))


ANOTHER = enrichment()


@pytest.mark.parametrize("by", [ENRICHMENT, FULL, enrichment("none")])
def test_every_column_has_a_value_for_every_scan(by):
    scans, _ = by.enrich([(number, record(peer=peer)) for number, peer in enumerate((PEER, b"", bytes(16)))])
    assert {len(getattr(scans, column.name)) for column in fields(scans)} == {3}


def test_a_place_is_that_of_the_client_and_not_of_the_proxy(tmp_path):
    path = write_mmdb(tmp_path / "city.mmdb", {"198.51.100.0/24": flat("AT", "Vienna", "Vienna")})
    headers = {b"x-forwarded-for": b"198.51.100.9"}
    scan = enrich(record(headers, peer=b"\x0a\0\0\1"), enrichment(geo_reader=GeoReader(path)))
    assert scan.places == Place("AT", "Vienna", "Vienna")


class FailsOnHidden(GeoReader):
    """Cannot stand an address."""

    def read_many(self, addresses):
        if bytes(4) in addresses:
            raise ZeroDivisionError("hidden")
        return super().read_many(addresses)


def test_a_record_that_a_step_fails_on_is_rejected_and_stops_no_other():
    failing = enrichment(geo_reader=FailsOnHidden(None))
    payloads = [record(), record(peer=bytes(4)), b"no record", record(peer=b"")]
    with capture_logs() as lines:
        scans, rejected = failing.enrich(list(enumerate(payloads)))
    assert scans.numbers == [0, 3]
    assert [(found.number, found.payload, found.reason) for found in rejected] == [
        (2, b"no record", Rejection.MALFORMED),
        (1, payloads[1], Rejection.FAILED),
    ]
    assert rejected[1].detail == "enrichment: ZeroDivisionError: hidden"
    assert [line["record"] for line in lines if line["event"] == "enrichment_failed"] == [1]
    assert failing.figures["read"].records == 4
    assert {failing.figures[step].records for step in Step if step is not Step.READ} == {2}


def test_every_step_is_counted_and_timed():
    counted = enrichment()
    assert counted.figures == dict.fromkeys(Step, Figures(0, 0.0))
    for _ in range(2):
        counted.enrich([(number, record()) for number in range(3)])
    assert list(counted.figures) == list(Step)
    assert {figures.records for figures in counted.figures.values()} == {6}
    assert all(figures.seconds > 0 for figures in counted.figures.values())


def test_what_is_not_as_usual_is_counted_by_step_and_reason(tmp_path):
    path = write_mmdb(tmp_path / "city.mmdb", {"203.0.113.0/24": flat("AT")})
    counted = enrichment(geo_reader=GeoReader(path))
    payloads = [
        record(),
        record(peer=b""),
        record(at_ns=NOON - 3 * DAY_NS, peer=b"\xc0\0\2\7"),
        record({b"user-agent": b"Googlebot/2.1"}),
        record({b"purpose": b"prefetch"}),
        b"no record",
        record(at_ns=0),
        record(at_ns=NOON - 20 * DAY_NS),
    ]
    counted.enrich(list(enumerate(payloads)))
    assert counted.reasons == {
        ("read", "malformed"): 1,
        ("read", "time_out_of_range"): 1,
        ("read", "another_month"): 1,
        ("client", "no_address"): 1,
        ("place", "no_place"): 2,
        ("bot", "crawler"): 1,
        ("bot", "prefetch"): 1,
        ("visitor", "no_salt"): 1,
    }


def test_the_names_of_steps_never_change():
    assert list(Step) == ["read", "client", "place", "device", "bot", "visitor", "language", "address"]

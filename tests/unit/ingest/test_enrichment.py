import asyncio
import ipaddress
from collections.abc import Mapping
from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.enrichment import Enrichment, IpStorage, utc_day, utc_month
from ingest.visitors import NO_VISITOR, Visitors
from scanhop.client_facts.bots import BotReason
from scanhop.client_facts.device import DeviceType
from scanhop.wire.scan_record import HEADERS, Outcome, ScanRecord
from tests.routes import PHONE

NOON = 1_800_014_400_000_000_000  # 2027-01-15, 12:00 UTC
TODAY = date(2027, 1, 15)
TRUSTED = (ipaddress.ip_network("10.0.0.0/8"),)
PEER = b"\xcb\0\x71\x4d"  # 203.0.113.77


def visitors() -> Visitors:
    async def read_salts() -> Mapping[date, bytes]:
        return {TODAY: bytes(32)}

    made = Visitors(read_salts)
    asyncio.run(made.refresh())
    return made


def enrichment(ip_storage: IpStorage = "truncated") -> Enrichment:
    return Enrichment(visitors(), TRUSTED, ip_storage)


ENRICHMENT = enrichment()
FULL = enrichment("full")


def record(headers: dict[bytes, bytes] | None = None, peer: bytes = PEER, at_ns: int = NOON) -> ScanRecord:
    return ScanRecord(
        workspace_id=bytes(16),
        qr_id=bytes(16),
        user_id=bytes(16),
        project_id=bytes(16),
        domain_id=bytes(16),
        route_version=1,
        code="menu",
        scanned_at_ns=at_ns,
        outcome=Outcome.REDIRECT,
        peer=peer,
        rule_id="",
        variant="",
        headers={b"user-agent": PHONE} if headers is None else headers,
    )


records = st.builds(
    record,
    headers=st.dictionaries(st.sampled_from(HEADERS), st.binary(max_size=80)),
    peer=st.sampled_from([0, 4, 16]).flatmap(lambda size: st.binary(min_size=size, max_size=size)),
    at_ns=st.integers(1, 2**62 - 1),
)


def test_the_client_is_the_peer():
    assert str(ENRICHMENT.enrich(record()).address) == "203.0.113.77"


def test_behind_a_trusted_proxy_the_client_is_whom_it_names():
    scan = ENRICHMENT.enrich(record({b"x-forwarded-for": b"1.1.1.1, 198.51.100.9"}, peer=b"\x0a\0\0\1"))
    assert str(scan.address) == "198.51.100.9"


def test_device_system_and_browser_are_read():
    device = ENRICHMENT.enrich(record()).device
    assert device is not None
    assert (device.device_type, device.os, device.browser) == (DeviceType.MOBILE, "iOS", "Mobile Safari")


def test_without_a_user_agent_the_device_is_some_other():
    device = ENRICHMENT.enrich(record({})).device
    assert device is not None
    assert device.device_type is DeviceType.OTHER


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({b"user-agent": PHONE}, BotReason.NONE),
        ({b"user-agent": PHONE, b"purpose": b"prefetch"}, BotReason.PREFETCH),
        ({b"user-agent": b"Googlebot/2.1"}, BotReason.CRAWLER),
    ],
)
def test_a_bot_is_marked_with_the_reason(headers, reason):
    assert ENRICHMENT.enrich(record(headers)).bot_reason is reason


def test_the_visitor_is_the_client_and_not_the_proxy():
    through_one = ENRICHMENT.enrich(record({b"x-forwarded-for": b"198.51.100.9"}, peer=b"\x0a\0\0\1"))
    through_two = ENRICHMENT.enrich(record({b"x-forwarded-for": b"198.51.100.9"}, peer=b"\x0a\0\0\2"))
    direct = ENRICHMENT.enrich(record({}, peer=ipaddress.ip_address("198.51.100.9").packed))
    assert through_one.visitor == through_two.visitor == direct.visitor != NO_VISITOR


@pytest.mark.parametrize(
    "other",
    [
        record(peer=b"\xcb\0\x71\x4e"),
        record({b"user-agent": b"another"}),
        record({b"user-agent": PHONE, b"accept-language": b"de"}),
    ],
)
def test_visitors_of_one_network_are_told_apart_though_their_address_is_truncated(other):
    assert ENRICHMENT.enrich(other).visitor != ENRICHMENT.enrich(record()).visitor


def test_on_a_day_without_salt_nobody_is_known():
    assert ENRICHMENT.enrich(record(at_ns=NOON - 2 * 86_400 * 10**9)).visitor == NO_VISITOR


def test_without_an_address_nobody_is_known_and_none_is_stored():
    scan = FULL.enrich(record(peer=b""))
    assert (scan.address, scan.visitor, scan.ip) == (None, NO_VISITOR, "")


def test_the_language_is_the_one_asked_for():
    assert ENRICHMENT.enrich(record({b"accept-language": b"de-AT, en;q=0.5"})).language == "de"


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
    assert enrichment(ip_storage).enrich(record(peer=ipaddress.ip_address(peer).packed)).ip == stored


def test_how_an_address_is_stored_does_not_change_who_the_visitor_is():
    assert enrichment("none").enrich(record()).visitor == FULL.enrich(record()).visitor


@given(records)
def test_any_record_can_be_enriched(found):
    scan = FULL.enrich(found)
    assert scan.device is not None
    assert scan.ip == "" or ipaddress.ip_address(scan.ip)
    assert 0 <= scan.visitor < 2**64
    assert ENRICHMENT.enrich(found).ip in ("", str(ipaddress.ip_address(ENRICHMENT.enrich(found).ip or "::")))


@given(records)
def test_the_same_record_always_gives_the_same(found):
    assert ANOTHER.enrich(found) == ENRICHMENT.enrich(found) == ENRICHMENT.enrich(found)


ANOTHER = enrichment()


@given(st.datetimes(datetime(1970, 1, 1), datetime(2262, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001
def test_a_moment_is_on_its_utc_day_and_in_its_utc_month(at):
    at_ns = int(at.timestamp()) * 10**9 + 999_999_999
    assert utc_day(at_ns) == at.date()
    assert utc_month(at_ns) == (at.year, at.month)

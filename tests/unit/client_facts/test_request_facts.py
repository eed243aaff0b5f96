import ipaddress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanhop.client_facts.bots import BotReason
from scanhop.client_facts.device import DeviceReader, DeviceType
from scanhop.client_facts.geo import GeoReader
from scanhop.client_facts.request_facts import FactReaders, RequestFacts
from scanhop.routing.decision import decide
from scanhop.routing.facts import Facts
from scanhop.routing.rule_compilation import compile_rule
from scanhop.routing.rules import parse_rules
from scanhop.wire.scan_record import HEADERS
from tests.routes import PHONE, new_route
from tests.unit.client_facts.mmdb import flat, write_mmdb

NOW = 1_800_000_000_000_000_000
PEER = b"\xc0\0\2\7"
HEADERS_OF_A_PHONE = {b"user-agent": PHONE, b"accept-language": b"de-AT,de;q=0.9"}
NO_DATABASE = FactReaders((), DeviceReader(), GeoReader(None), b"secret")


@pytest.fixture
def readers(tmp_path: Path) -> FactReaders:
    records = {"192.0.2.0/24": flat("AT", "Vienna", "Wien"), "203.0.113.0/24": flat("DE", "Berlin", "Berlin")}
    database = write_mmdb(tmp_path / "city.mmdb", records)
    trusted = [ipaddress.ip_network("10.0.0.0/8")]
    return FactReaders(trusted, DeviceReader(), GeoReader(database), b"secret")


def test_a_request_says_who_asks_and_from_where(readers):
    facts = RequestFacts(NOW, PEER, HEADERS_OF_A_PHONE, b"a=1", readers)
    assert (facts.now_ns, facts.query, facts.ab_secret) == (NOW, b"a=1", b"secret")
    assert facts.address == ipaddress.ip_address("192.0.2.7")
    assert (facts.country, facts.region, facts.city) == ("AT", "Vienna", "Wien")
    assert facts.user_agent == PHONE.decode()
    assert (facts.device.device_type, facts.device.os) == (DeviceType.MOBILE, "iOS")
    assert facts.languages == (("de-at", 1.0), ("de", 0.9))
    assert (facts.is_bot, facts.bot_reason) == (False, BotReason.NONE)


def test_the_place_is_the_clients_behind_a_proxy(readers):
    facts = RequestFacts(NOW, b"\x0a\0\0\1", {b"x-forwarded-for": b"203.0.113.9"}, b"", readers)
    assert str(facts.address) == "203.0.113.9"
    assert facts.country == "DE"


def test_a_request_that_says_nothing_has_facts_too():
    facts = RequestFacts(NOW, b"", {}, b"", NO_DATABASE)
    assert facts.address is None
    assert (facts.country, facts.region, facts.city, facts.languages) == ("", "", "", ())
    assert (facts.user_agent, facts.device.device_type, facts.is_bot) == ("", DeviceType.OTHER, False)


def test_a_crawler_a_prefetch_and_a_link_preview_are_bots():
    for headers in (
        {b"user-agent": b"Googlebot/2.1"},
        {b"user-agent": b"WhatsApp/2.23"},
        HEADERS_OF_A_PHONE | {b"sec-purpose": b"prefetch"},
    ):
        assert RequestFacts(NOW, PEER, headers, b"", NO_DATABASE).is_bot


def test_what_only_a_store_knows_is_for_the_caller_to_say():
    facts = RequestFacts(NOW, PEER, {}, b"", NO_DATABASE)
    assert (facts.scans, facts.is_unlocked) == (None, False)
    facts.scans, facts.is_unlocked = 7, True
    assert (facts.scans, facts.is_unlocked) == (7, True)


class Headers(dict[bytes, bytes]):
    """Headers that count how often they are asked."""

    asked = 0

    def get(self, name: bytes, default: bytes = b"") -> bytes:  # type: ignore[override]
        self.asked += 1
        return super().get(name, default)


def test_nothing_is_worked_out_before_it_is_asked_for_and_then_once(readers):
    headers = Headers(HEADERS_OF_A_PHONE)
    facts = RequestFacts(NOW, PEER, headers, b"", readers)
    assert headers.asked == 0
    assert facts.device is facts.device
    assert facts.user_agent is facts.user_agent
    assert headers.asked == 1
    assert facts.place is facts.place
    assert facts.address is facts.address


def test_facts_have_no_other_attributes():
    with pytest.raises(AttributeError):
        RequestFacts(NOW, PEER, {}, b"", NO_DATABASE).country_code = "AT"  # type: ignore[attr-defined]


def test_they_are_facts_as_rules_ask_for_them() -> None:
    facts: Facts = RequestFacts(NOW, PEER, {}, b"", NO_DATABASE)
    assert all(hasattr(facts, name) for name in dir(Facts) if not name.startswith("_"))


def test_rules_are_judged_by_the_facts_of_a_request(readers):
    when = [
        {"field": "device", "op": "in", "value": "mobile"},
        {"field": "browser", "op": "in", "value": "Safari"},
        {"field": "country", "op": "in", "value": "AT"},
        {"field": "city", "op": "in", "value": "wien"},
        {"field": "ip", "op": "in", "value": "192.0.2.0/24"},
        {"field": "language", "op": "in", "value": "de"},
        {"field": "query", "op": "is", "key": "a", "value": "1"},
        {"field": "scans", "op": "lt", "value": 8},
    ]
    (rule,) = parse_rules([{"when": when, "target_url": "https://example.com/met"}])
    facts = RequestFacts(NOW, PEER, HEADERS_OF_A_PHONE, b"a=1", readers)
    route = new_route(rules=(compile_rule(rule),))
    assert decide(route, facts).rule_id == ""
    known = RequestFacts(NOW, PEER, HEADERS_OF_A_PHONE, b"a=1", readers)
    known.scans = 7
    assert decide(route, known).rule_id == "r1"


@given(
    st.sampled_from([0, 4, 16]).flatmap(lambda size: st.binary(min_size=size, max_size=size)),
    st.dictionaries(st.sampled_from(HEADERS), st.binary()),
    st.binary(),
)
def test_any_request_has_facts(peer, headers, query):
    facts = RequestFacts(NOW, peer, headers, query, NO_DATABASE)
    names = [name for name in dir(RequestFacts) if not name.startswith("_")]
    assert len([getattr(facts, name) for name in names]) == len(names)

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanhop.wire import redis_keys
from scanhop.wire.redis_keys import DOMAINS_KEY, ROUTE_PREFIX, parse_route_key, route_key, scans_key

domains = st.binary(min_size=16, max_size=16)
codes = st.text(st.characters(exclude_categories=["Cs"]))


def test_a_route_key_names_domain_and_code():
    domain_id = UUID("00000000-0000-7000-8000-000000000001")
    assert route_key(domain_id, "menu") == "route:00000000000070008000000000000001:menu"


@given(domains, codes)
def test_the_domain_may_be_given_as_bytes_or_as_a_uuid(domain_id, code):
    assert route_key(domain_id, code) == route_key(UUID(bytes=domain_id), code)


@given(domains, codes, domains, codes)
def test_two_codes_never_share_a_key(domain, code, other_domain, other_code):
    same = route_key(domain, code) == route_key(other_domain, other_code)
    assert same == ((domain, code) == (other_domain, other_code))


@given(domains, codes)
def test_every_route_key_has_the_prefix_that_edges_track(domain_id, code):
    assert route_key(domain_id, code).startswith(ROUTE_PREFIX)


@given(domains, codes)
def test_a_route_key_is_parsed_back(domain_id, code):
    assert parse_route_key(route_key(domain_id, code).encode()) == (domain_id, code)


@pytest.mark.parametrize(
    "key",
    [
        b"",
        b"route:",
        b"route:menu",
        b"route:00000000000070008000000000000001",
        b"route:0000000000007000800000000000000:menu",
        b"route:ZZ000000000070008000000000000001:menu",
        b"route:00000000000070008000000000000001:\xff",
        b"domains",
    ],
)
def test_other_names_are_no_route_keys(key):
    assert parse_route_key(key) is None


@given(st.binary())
def test_any_bytes_are_parsed_or_refused(key):
    parsed = parse_route_key(key)
    assert parsed is None or route_key(*parsed).encode() == key


def test_a_counter_is_named_after_its_code():
    assert scans_key(bytes(15) + b"\x01") == "scans:00000000000000000000000000000001"


def test_no_other_key_is_among_those_that_edges_track():
    others = [name for key, name in vars(redis_keys).items() if key.endswith("_KEY") and not key.startswith("_")]
    tracked = [name for name in others if name.startswith((ROUTE_PREFIX, DOMAINS_KEY))]
    assert tracked == [DOMAINS_KEY]
    assert not scans_key(bytes(16)).startswith((ROUTE_PREFIX, DOMAINS_KEY))

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from scanhop.wire.redis_keys import ROUTE_PREFIX, route_key

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

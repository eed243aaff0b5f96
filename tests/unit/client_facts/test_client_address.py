import ipaddress
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanhop.client_facts.client_address import (
    TrustedNetworks,
    client_address,
    client_bytes,
    network_of,
    text_of,
    unmap,
)

PROXY = b"\x0a\0\0\1"
STRANGER = b"\xc0\0\2\7"
TRUSTED = TrustedNetworks([ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("2001:db8:ffff::/48")])
NOBODY = TrustedNetworks([])

peers = st.sampled_from([0, 4, 16]).flatmap(lambda size: st.binary(min_size=size, max_size=size))
addresses = st.sampled_from([b"10.0.0.2", b"203.0.113.9", b"::1", b"[2001:db8::1]", b"[::1", b"::ffff:10.0.0.1"])
signs = st.sampled_from([b":80", b"for=", b"For=", b'"', b",", b";", b" ", b"%eth0", b"host=", b"\\", b"\r\n"])
nonsense = st.sampled_from([b"_hidden", b"unknown", b"\xff", b"\0", b"1" * 300])
near_addresses = st.lists(addresses | signs | nonsense, max_size=15).map(b"".join)
header_values = st.binary(max_size=100) | near_addresses
headers = st.fixed_dictionaries({}, optional={b"x-forwarded-for": header_values, b"forwarded": header_values})


def address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    return ipaddress.ip_address(text)


def behind_proxy(header: bytes, value: bytes) -> str:
    return str(client_address(PROXY, {header: value}, TRUSTED))


def forwarded_for(value: bytes) -> str:
    """The client when the trusted proxy 10.0.0.1 sends this X-Forwarded-For."""
    return behind_proxy(b"x-forwarded-for", value)


def forwarded(value: bytes) -> str:
    """The client when the trusted proxy 10.0.0.1 sends this Forwarded."""
    return behind_proxy(b"forwarded", value)


def test_without_proxies_the_client_is_the_peer():
    assert client_address(STRANGER, {}, NOBODY) == address("192.0.2.7")


def test_a_local_socket_has_no_client_address():
    assert client_address(b"", {b"x-forwarded-for": b"203.0.113.9"}, TRUSTED) is None


@given(peers.filter(bool), headers)
def test_a_peer_that_is_not_trusted_is_always_itself(peer, found):
    itself = unmap(ipaddress.ip_address(peer))
    assert client_address(peer, found, NOBODY) == itself
    if not TRUSTED.hold(itself.packed):
        assert client_address(peer, found, TRUSTED) == itself


@given(st.sampled_from([PROXY]) | peers, headers)
def test_no_bytes_make_it_raise_and_what_it_gives_is_an_address(peer, found):
    client = client_address(peer, found, TRUSTED)
    assert (client is None) == (peer == b"")
    if client is not None:
        assert ipaddress.ip_address(client.packed) == client
        assert str(client) == str(ipaddress.ip_address(client.packed))
        assert ipaddress.ip_address(network_of(client.packed))


@given(headers, st.sampled_from(["203.0.113.9", "2001:db8::9"]))
def test_what_the_nearest_proxy_wrote_cannot_be_spoofed_by_anything_left_of_it(found, client):
    chain = found.get(b"x-forwarded-for", b"") + b", " + client.encode()
    assert forwarded_for(chain) == client


@given(header_values, st.sampled_from(["203.0.113.9", '"[2001:db8::9]:4711"']))
def test_what_the_nearest_proxy_wrote_into_forwarded_cannot_be_spoofed_either(claimed, client):
    chain = claimed + b", for=" + client.encode()
    assert forwarded(chain) in ("203.0.113.9", "2001:db8::9")


@pytest.mark.parametrize(
    ("chain", "client"),
    [
        (b"203.0.113.9", "203.0.113.9"),
        (b"203.0.113.9, 10.0.0.2", "203.0.113.9"),
        (b"203.0.113.9,10.0.0.2,10.0.0.3", "203.0.113.9"),
        (b"1.1.1.1, 203.0.113.9", "203.0.113.9"),
        (b"1.1.1.1, 203.0.113.9, 10.0.0.2", "203.0.113.9"),
        (b"10.0.0.9, 203.0.113.9", "203.0.113.9"),
        (b"  203.0.113.9\t", "203.0.113.9"),
        (b"203.0.113.9:4711", "203.0.113.9"),
        (b"2001:db8::9", "2001:db8::9"),
        (b"2001:DB8:0::9", "2001:db8::9"),
        (b"[2001:db8::9]", "2001:db8::9"),
        (b"[2001:db8::9]:4711", "2001:db8::9"),
        (b"203.0.113.9, 2001:db8:ffff::1", "203.0.113.9"),
        (b"::ffff:203.0.113.9", "203.0.113.9"),
        (b"203.0.113.9, ::ffff:10.0.0.2", "203.0.113.9"),
    ],
)
def test_the_client_is_the_first_from_the_right_that_is_no_trusted_proxy(chain, client):
    assert forwarded_for(chain) == client


def test_when_every_hop_is_trusted_the_client_is_the_farthest():
    assert forwarded_for(b"10.0.0.9, 10.0.0.8") == "10.0.0.9"


@pytest.mark.parametrize(
    "hidden", [b"unknown", b"_hidden", b"", b"localhost", b"1.2.3", b"1.2.3.4.5", b"0x7f000001", b"\xff"]
)
def test_behind_a_hop_that_cannot_be_read_nobody_is_believed(hidden):
    assert forwarded_for(b"203.0.113.9, " + (hidden or b"-") + b", 10.0.0.2") == "10.0.0.2"


@pytest.mark.parametrize("chain", [b"", b" ", b",", b" , ,"])
def test_an_empty_list_leaves_the_peer(chain):
    assert forwarded_for(chain) == forwarded(chain) == "10.0.0.1"


@pytest.mark.parametrize("chain", [b"203.0.113.9,", b"203.0.113.9, , ", b",203.0.113.9", b"203.0.113.9,,10.0.0.2"])
def test_empty_elements_of_a_list_are_skipped(chain):
    assert forwarded_for(chain) == "203.0.113.9"
    assert forwarded(chain.replace(b"203", b"for=203").replace(b"10.", b"for=10.")) == "203.0.113.9"


@pytest.mark.parametrize(
    ("chain", "client"),
    [
        (b"for=203.0.113.9", "203.0.113.9"),
        (b"For=203.0.113.9", "203.0.113.9"),
        (b'for="203.0.113.9"', "203.0.113.9"),
        (b'for="203.0.113.9:4711"', "203.0.113.9"),
        (b"for=203.0.113.9:4711", "203.0.113.9"),
        (b'for="[2001:db8::9]"', "2001:db8::9"),
        (b'for="[2001:db8::9]:4711"', "2001:db8::9"),
        (b'for="[2001:db8::9]:_port"', "2001:db8::9"),
        (b"for=203.0.113.9;proto=https;by=10.0.0.1", "203.0.113.9"),
        (b"proto=https;for=203.0.113.9", "203.0.113.9"),
        (b"proto=https; for=203.0.113.9 ;by=_x", "203.0.113.9"),
        (b'host="a.example";for=203.0.113.9', "203.0.113.9"),
        (b"for=1.1.1.1, for=203.0.113.9", "203.0.113.9"),
        (b"for=203.0.113.9, for=10.0.0.2", "203.0.113.9"),
        (b"for=203.0.113.9,for=10.0.0.2;by=10.0.0.1", "203.0.113.9"),
        (b'for=1.1.1.1;x="a,b", for=203.0.113.9;x="a,b"', "203.0.113.9"),
    ],
)
def test_forwarded_is_read_as_its_rfc_says(chain, client):
    assert forwarded(chain) == client


@pytest.mark.parametrize(
    "hidden", [b"for=unknown", b"for=_hidden", b'for="_hidden:_port"', b"for=", b'for=""', b"by=10.0.0.1"]
)
def test_behind_a_forwarded_element_that_names_nobody_nobody_is_believed(hidden):
    assert forwarded(b"for=203.0.113.9, " + hidden + b", for=10.0.0.2") == "10.0.0.2"


@pytest.mark.parametrize(
    "host",
    [
        b'host=";for=1.1.1.1"',
        b'host=";for=1.1.1.1;"',
        b'host=",for=1.1.1.1"',
        b'host="a, for=1.1.1.1;x=\\""',
        b'x="\\";for=1.1.1.1"',
    ],
)
def test_what_a_client_put_into_a_quoted_value_is_no_parameter(host):
    assert forwarded(b"for=203.0.113.9;" + host) == "203.0.113.9"
    assert forwarded(host + b";for=203.0.113.9") == "203.0.113.9"


@pytest.mark.parametrize("name", [b"xfor=1.1.1.1", b"for-x=1.1.1.1", b"by=for=1.1.1.1"])
def test_a_parameter_of_another_name_is_not_the_client(name):
    assert forwarded(b"for=203.0.113.9, " + name) == "10.0.0.1"


def test_x_forwarded_for_is_read_before_forwarded():
    found = {b"x-forwarded-for": b"203.0.113.9", b"forwarded": b"for=203.0.113.10"}
    assert client_address(PROXY, found, TRUSTED) == address("203.0.113.9")


def test_a_trusted_peer_may_come_as_a_mapped_address():
    peer = address("::ffff:10.0.0.1").packed
    assert client_address(peer, {b"x-forwarded-for": b"203.0.113.9"}, TRUSTED) == address("203.0.113.9")


def test_a_client_that_comes_as_a_mapped_address_is_its_ipv4_address():
    assert client_address(address("::ffff:192.0.2.7").packed, {}, NOBODY) == address("192.0.2.7")


@pytest.mark.parametrize("zone", ["eth0", "<script>", "a b"])
def test_the_zone_of_an_address_is_left_out(zone):
    assert forwarded_for(f"fe80::9%{zone}".encode()) == "fe80::9"
    assert forwarded(f'for="[fe80::9%{zone}]"'.encode()) == "fe80::9"


def test_no_trusted_network_trusts_nobody():
    assert not NOBODY.hold(address("127.0.0.1").packed)


@pytest.mark.parametrize(
    ("full", "network"),
    [
        ("203.0.113.77", "203.0.113.0"),
        ("203.0.113.0", "203.0.113.0"),
        ("255.255.255.255", "255.255.255.0"),
        ("2001:db8:1234:5678::9", "2001:db8:1234::"),
        ("::1", "::"),
        ("fe80::1%eth0", "fe80::"),
    ],
)
def test_a_truncated_address_is_its_network(full, network):
    assert network_of(address(full).packed) == network


@given(st.ip_addresses())
def test_truncating_twice_is_truncating_once(full):
    network = network_of(full.packed)
    assert network_of(ipaddress.ip_address(network).packed) == network


@given(st.ip_addresses() | st.integers(0, 2**16).map(ipaddress.IPv6Address))
def test_an_address_and_its_network_are_written_as_ipaddress_writes_them(full):
    network = ipaddress.ip_network((full, 24 if full.version == 4 else 48), strict=False)
    assert network_of(full.packed) == str(network.network_address)
    assert text_of(full.packed) == str(full)


@given(peers | st.binary(min_size=4, max_size=4).map(lambda end: bytes(10) + b"\xff\xff" + end), headers)
@pytest.mark.parametrize("trusted", [TRUSTED, NOBODY])
def test_the_client_as_bytes_is_the_client(trusted, peer, found):
    client = client_address(peer, found, trusted)
    assert client_bytes(peer, found, trusted) == (client.packed if client else b"")


@pytest.mark.parametrize(
    "piece", [b",", b'"', b'",', b'a="', b'a="b",', b"a=b;", b"for=10.0.0.2,", b'\\",', b"a=", b" "]
)
def test_a_hostile_list_costs_no_more_than_its_length(piece):
    chain = piece * (60_000 // len(piece))
    started = time.process_time()
    forwarded(chain)
    forwarded_for(chain)
    assert time.process_time() - started < 1


networks = st.builds(
    lambda found, prefix: ipaddress.ip_network((found, prefix % (found.max_prefixlen + 1)), strict=False),
    st.ip_addresses(),
    st.integers(0, 128),
)


@given(st.lists(networks, max_size=4), st.ip_addresses() | networks.map(lambda network: network.broadcast_address))
def test_networks_hold_the_addresses_that_ipaddress_says(held, found):
    assert TrustedNetworks(held).hold(found.packed) == any(found in network for network in held)
    assert TrustedNetworks([*held, ipaddress.ip_network(found)]).hold(found.packed)
    assert bool(TrustedNetworks(held)) == bool(held)


spellings = st.text("0123456789abcdefABCDEF:.", max_size=40) | st.ip_addresses(v=6).flatmap(
    lambda found: st.sampled_from([str(found), found.exploded, str(found).upper(), f"::ffff:{found}", f"{found}::"])
)


@given(spellings | st.ip_addresses(v=4).map(lambda found: f"::ffff:{found}"))
def test_a_forwarded_address_is_the_one_that_ipaddress_reads(text):
    try:
        read = str(unmap(ipaddress.ip_address(text)))
    except ValueError:
        if text.count(":") > 1:
            assert forwarded_for(text.encode()) == "10.0.0.1"
        return
    assert forwarded_for(text.encode()) == read

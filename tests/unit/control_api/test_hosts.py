"""Host names of custom domains, as people type them."""

import ada_url
import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_api.domains.host import InvalidHost, host_of, parse_host


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("qr.example.com", "qr.example.com"),
        ("QR.Example.COM", "qr.example.com"),
        ("qr.exämple.com", "qr.xn--exmple-cua.com"),
        ("faß.de", "xn--fa-hia.de"),
        ("\uff12.com", "2.com"),
        ("例え。jp", "xn--r8jz45g.jp"),
        ("localhost", "localhost"),
    ],
)
def test_a_host_is_kept_as_browsers_send_it(text, host):
    assert parse_host(text) == host


@pytest.mark.parametrize("text", ["", ".", "a b", "a\tb", "a\nb", "a/b", "a:80", "a?b", "a#b", "a@b", "a%62", "a\\b"])
def test_what_is_more_or_less_than_a_name_is_refused(text):
    with pytest.raises(InvalidHost):
        parse_host(text)


@pytest.mark.parametrize("text", ["1.2.3.4", "1.2.3", "0x7f000001", "\uff11.2.3.4", "[::1]", "::1"])
def test_an_address_in_any_spelling_is_refused(text):
    with pytest.raises(InvalidHost):
        parse_host(text)


def test_the_edges_of_length_are_inside():
    longest = ".".join(["a" * 63] * 3 + ["a" * 61])
    assert len(longest) == 253
    assert parse_host(longest) == longest
    for text in (longest + "a", "a" * 64):
        with pytest.raises(InvalidHost):
            parse_host(text)


@given(st.text() | st.from_regex(r"[\w.\-]{1,20}", fullmatch=True))
def test_any_text_is_refused_or_a_host_that_stays_itself(text):
    try:
        host = parse_host(text)
    except InvalidHost:
        return
    assert host.isascii()
    assert host == host.lower()
    assert parse_host(host) == host
    assert ada_url.URL(f"https://{host}/x").host == host


@pytest.mark.parametrize("url", ["https://QR.example", "http://qr.example:8080/base", "https://qr.example/"])
def test_the_host_of_a_url_has_no_port(url):
    assert host_of(url) == "qr.example"

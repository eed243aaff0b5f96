"""The form of a short URL is the one with the smallest symbol that still leads to the code."""

from urllib.parse import urlsplit
from uuid import UUID

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from control_api.images.model import PrintedCode, ShortUrl
from control_api.images.symbol import draw_symbol
from edge.domains import Domains
from scanhop.wire.domains import Domain
from scanhop.wire.ids import DEFAULT_DOMAIN_ID
from scanhop.wire.short_codes import RESERVED
from tests.decoders import Pixels, read_by_zxing


def symbol_of(url: ShortUrl, error_correction: str = "M") -> tuple[int, str | None]:
    """Its modules across, and what it says."""
    modules = draw_symbol(url, error_correction)
    dark = np.pad(np.array([list(row) for row in modules], np.uint8), 4)
    pixels: Pixels = np.kron(255 * (1 - dark), np.ones((4, 4))).astype(np.uint8)
    return len(modules), read_by_zxing(pixels)


def code(short_code: str, host: str | None = None, *, is_exact: bool = False) -> PrintedCode:
    return PrintedCode(short_code, "Menu", host, is_exact, {})


@pytest.mark.parametrize(
    ("printed", "public_url", "said", "across"),
    [
        (code("k7x2m9p"), "https://qr.example.com", "HTTPS://QR.EXAMPLE.COM/R/K7X2M9P", 25),
        (code("k7x2m9p", "go.example.com"), "https://qr.example.com", "HTTPS://GO.EXAMPLE.COM/k7x2m9p", 25),
        (code("summer_sale"), "https://qr.example.com", "https://qr.example.com/r/summer_sale", 29),
        (code("Menu42", "go.example.com", is_exact=True), "https://x.y", "HTTPS://GO.EXAMPLE.COM/Menu42", 25),
        (code("k7x2m9p"), "https://example.com/q", "https://example.com/q/r/k7x2m9p", 29),
        (code("k7x2m9p"), "http://127.0.0.1:8080", "HTTP://127.0.0.1:8080/r/k7x2m9p", 25),
        (code("abc"), "http://q.eu", "HTTP://Q.EU/R/ABC", 21),
    ],
)
def test_the_form_is_the_smallest(printed, public_url, said, across):
    assert symbol_of(printed.short_url(public_url)) == (across, said)


def test_scheme_and_host_alone_go_into_upper_case_where_the_code_counts():
    url = ShortUrl("https://a-rather-long-name.of-a-shop.example.com", "/AbC", folds=False)
    plain = symbol_of(ShortUrl("", url.origin + url.path, folds=False))
    assert symbol_of(url) == (29, "HTTPS://A-RATHER-LONG-NAME.OF-A-SHOP.EXAMPLE.COM/AbC")
    assert plain[0] > 29


def test_the_url_stays_as_people_read_it_where_nothing_is_gained():
    assert symbol_of(ShortUrl("https://q.eu", "/r/ab", folds=True), "L")[1] == "https://q.eu/r/ab"


@pytest.mark.parametrize("level", "LMQH")
def test_no_form_is_ever_larger_than_the_plain_one(level):
    for length in range(1, 60, 3):
        url = ShortUrl("https://qr.example.com", f"/r/{'k' * length}", folds=True)
        plain = ShortUrl("", url.origin + url.path, folds=False)
        assert len(draw_symbol(url, level)) <= len(draw_symbol(plain, level))


@settings(max_examples=30)
@given(
    short_code=st.from_regex(r"[a-z0-9][a-z0-9_-]{0,20}", fullmatch=True),
    exact_code=st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,20}", fullmatch=True),
    kind=st.sampled_from(["default", "fold", "exact"]),
    level=st.sampled_from("LMQH"),
)
def test_what_is_printed_leads_to_the_code_on_the_edge(short_code, exact_code, kind, level):
    own = Domain(UUID(int=7).bytes, "go.example.com", is_exact=kind == "exact")
    wanted = exact_code if own.is_exact else short_code
    assume(wanted not in RESERVED)
    printed = code(wanted, None if kind == "default" else own.host, is_exact=own.is_exact)
    _, said = symbol_of(printed.short_url("https://qr.example.com"), level)
    url = urlsplit(said)
    edge = Domains()
    edge.replace([own])
    scanned = edge.find_scanned(url.hostname.encode(), url.path.encode())
    domain_id = DEFAULT_DOMAIN_ID.bytes if kind == "default" else own.id
    assert url.scheme == "https"
    assert scanned.key == domain_id + wanted.encode()

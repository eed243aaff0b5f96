from uuid import UUID

import pytest

from edge.domains import Domains
from scanhop.wire.domains import Domain
from scanhop.wire.ids import DEFAULT_DOMAIN_ID
from scanhop.wire.scan_record import Outcome, decode_scan, encode_scan
from scanhop.wire.short_codes import RESERVED

FOLDING = Domain(UUID(int=1).bytes, "qr.custom", not_found_url="https://custom.example/404")
EXACT = Domain(UUID(int=2).bytes, "exact.custom", is_exact=True)
DEFAULT = DEFAULT_DOMAIN_ID.bytes


@pytest.fixture
def domains() -> Domains:
    table = Domains()
    table.replace([FOLDING, EXACT])
    return table


@pytest.mark.parametrize(
    ("host", "path", "key"),
    [
        (b"qr.example", b"/r/menu", DEFAULT + b"menu"),
        (None, b"/r/menu", DEFAULT + b"menu"),
        (b"", b"/R/MENU", DEFAULT + b"menu"),
        (b"qr.example", b"/r/%4d%65nu", DEFAULT + b"menu"),
        (b"qr.custom", b"/r/menu", FOLDING.id + b"menu"),
        (b"qr.custom", b"/R/MENU", FOLDING.id + b"menu"),
        (b"qr.custom", b"/menu", FOLDING.id + b"menu"),
        (b"qr.custom", b"/MENU", FOLDING.id + b"menu"),
        (b"exact.custom", b"/Menu", EXACT.id + b"Menu"),
        (b"exact.custom", b"/r/Menu", EXACT.id + b"Menu"),
        (b"qr.example", b"/r/" + b"x" * 63, DEFAULT + b"x" * 63),
    ],
)
def test_a_path_spells_a_code_of_its_domain(domains, host, path, key):
    assert domains.find_scanned(host, path).key == key


@pytest.mark.parametrize(
    "code",
    [b"%00", b"%ff", b"x" * 64, b"-a", b"_a", b"a.b", b"a%2fb", b"%E2%84%AA", b"a%20", b"%", b"%zz", b"healthz"],
)
def test_what_can_be_no_code_is_unknown_without_a_look_up(domains, code):
    scanned = domains.find_scanned(b"qr.example", b"/r/" + code)
    assert scanned.key is None
    record = decode_scan(encode_scan(scanned.unknown_prefix(), 1, Outcome.UNKNOWN, b"", b""))
    assert record.domain_id == DEFAULT
    assert len(record.code) <= 63


@pytest.mark.parametrize(
    "path",
    [b"/", b"/r", b"/r/", b"/r/a/", b"/r/a/b", b"//a", b"/r//a", b"/x/a", b"/%72/a", b"/r%2Fa", b"*", b"r/a", b""],
)
def test_another_path_is_none_of_a_scan(domains, path):
    assert domains.find_scanned(b"qr.example", path) is None


def test_without_the_prefix_there_are_codes_on_custom_domains_alone(domains):
    assert domains.find_scanned(b"qr.example", b"/menu") is None
    assert domains.find_scanned(b"sub.qr.custom", b"/menu") is None


@pytest.mark.parametrize("word", sorted(RESERVED))
def test_what_is_reserved_is_no_code_of_a_custom_domain(domains, word):
    for path in (b"/" + word.encode(), b"/%" + word.encode().hex()[:2].encode() + word.encode()[1:]):
        assert domains.find_scanned(b"qr.custom", path) is None
        assert domains.find_scanned(b"exact.custom", path) is None


def test_only_a_code_without_a_custom_domain_is_on_the_default_domain(domains):
    assert domains.find_scanned(b"qr.example", b"/r/menu").is_on_default_domain
    assert not domains.find_scanned(b"qr.custom", b"/r/menu").is_on_default_domain


def test_the_letter_case_of_an_unknown_code_is_kept_where_it_counts(domains):
    def recorded(host: bytes) -> str:
        prefix = domains.find_scanned(host, b"/r/.Menu").unknown_prefix()
        return decode_scan(encode_scan(prefix, 1, Outcome.UNKNOWN, b"", b"")).code

    assert (recorded(b"qr.custom"), recorded(b"exact.custom")) == (".menu", ".Menu")


def test_a_table_is_replaced_whole_and_tells_whether_it_changed(domains):
    custom = domains.custom
    assert not domains.replace([EXACT, FOLDING])
    assert domains.replace([EXACT])
    assert custom == {b"exact.custom": EXACT}
    assert domains.find(b"qr.custom").id == DEFAULT
    assert domains.of_key(FOLDING.id + b"menu").id == DEFAULT
    assert domains.of_key(EXACT.id + b"menu") == EXACT
    assert domains.replace([Domain(EXACT.id, EXACT.host, is_exact=False)])

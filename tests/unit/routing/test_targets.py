import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from scanhop.routing.targets import MAX_TARGET_LENGTH, InvalidTarget, is_header_safe, parse_target

CONTROL_CHARACTERS = [chr(number) for number in [*range(0x20), 0x7F]]

anything = st.text()
characters = st.sampled_from("/\\@:?#[]%.aB '\"<>|^`{}~\u00e4\u2028\x85\ud800\u3002\uff0f\u00ad")
words = st.sampled_from(
    ["http:", "HTTPS://", "::1", "%zz", "%00", "%0d%0a", "..", "example.com", "xn--", "0x7f", "443"]
)
near_urls = st.lists(characters | words, max_size=12).map(lambda parts: "http://" + "".join(parts))


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("https://example.com", "https://example.com/"),
        ("HTTPS://EXAMPLE.com/Path?Query#Part", "https://example.com/Path?Query#Part"),
        ("  https://example.com/  ", "https://example.com/"),
        ("https://example.com/a b", "https://example.com/a%20b"),
        ("https://example.com/?q=a b&c='\"", "https://example.com/?q=a%20b&c=%27%22"),
        ("https://example.com/#a b", "https://example.com/#a%20b"),
        ("https://example.com/caf\u00e9", "https://example.com/caf%C3%A9"),
        ("https://example.com/?caf\u00e9", "https://example.com/?caf%C3%A9"),
        ("https://example.com/#caf\u00e9", "https://example.com/#caf%C3%A9"),
        ("https://example.com/%7Euser/%zz", "https://example.com/%7Euser/%zz"),
        ("https://example.com/%0d%0aSet-Cookie:%20a=b", "https://example.com/%0d%0aSet-Cookie:%20a=b"),
        ("https://b\u00fccher.example/", "https://xn--bcher-kva.example/"),
        ("https://\u4f8b\u3048.jp/", "https://xn--r8jz45g.jp/"),
        ("https://EXAMPLE\u3002com/", "https://example.com/"),
        ("https://\uff45xample.com/", "https://example.com/"),
        ("https://example.com:443/", "https://example.com/"),
        ("http://example.com:80/", "http://example.com/"),
        ("http://example.com:443/", "http://example.com:443/"),
        ("http://example.com:65535/", "http://example.com:65535/"),
        ("http://[2001:DB8::1]:8080/a", "http://[2001:db8::1]:8080/a"),
        ("http://[::ffff:192.0.2.1]/", "http://[::ffff:c000:201]/"),
        ("http://0x7f.1/", "http://127.0.0.1/"),
        ("https:\\\\example.com\\a\\b", "https://example.com/a/b"),
        ("https:///example.com/", "https://example.com/"),
        ("https://example.com/a/../b/./c", "https://example.com/b/c"),
        ("https://example.com/a\u2028b\x85", "https://example.com/a%E2%80%A8b%C2%85"),
    ],
)
def test_a_target_is_stored_as_a_browser_reads_it(text, stored):
    assert parse_target(text) == stored


@pytest.mark.parametrize(
    "text",
    [
        "javascript:alert(1)",
        "JavaScript:alert(1)",
        "  javascript:alert(1)",
        "javascript://example.com/%0aalert(1)",
        "data:text/html,<script>alert(1)</script>",
        "vbscript:x",
        "file:///etc/passwd",
        "ftp://example.com/",
        "blob:https://example.com/x",
        "mailto:a@example.com",
        "ws://example.com/",
        "intent://example.com/#Intent;scheme=http;end",
        "view-source:https://example.com/",
        "httpss://example.com/",
    ],
)
def test_only_http_and_https_are_targets(text):
    with pytest.raises(InvalidTarget, match="must begin with http"):
        parse_target(text)


@pytest.mark.parametrize("character", CONTROL_CHARACTERS)
@pytest.mark.parametrize("place", ["{}https://example.com/", "ht{}tps://example.com/", "https://example.com/{}"])
def test_control_characters_are_refused_anywhere(character, place):
    with pytest.raises(InvalidTarget, match="control characters"):
        parse_target(place.format(character))


@pytest.mark.parametrize(
    "text",
    [
        "https://user@example.com/",
        "https://user:password@example.com/",
        "https://:password@example.com/",
        "https://example.com@evil.example/",
        "https://example.com\\@user@evil.example/".replace("\\@", "%40"),
        "https:user@example.com",
    ],
)
def test_a_user_name_or_password_is_refused(text):
    with pytest.raises(InvalidTarget, match="user name or a password"):
        parse_target(text)


def test_an_empty_user_name_is_dropped():
    assert parse_target("https://@example.com/") == "https://example.com/"


def test_a_backslash_ends_the_host_so_that_what_follows_is_no_user_name():
    assert parse_target("https://example.com\\@evil.example/") == "https://example.com/@evil.example/"


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "example.com",
        "//example.com/",
        "/path",
        "?query",
        "http://",
        "http:",
        "https://?q",
        "https://#part",
        "https://:80/",
        "https://exa mple.com/",
        "https://example.com:99999/",
        "https://example.com:port/",
        "https://[::1/",
        "https://[::g]/",
        "https://[fe80::1%25eth0]/",
        "https://1.2.3.256/",
        "https://exa<mple.com/",
        "https://example.com%00/",
        "https://exa%0d%0ample.com/",
        "https://\u00ad/",
        "\u00a0https://example.com/",
        "https://example.com\ud800/",
        "https://\ud800/",
    ],
)
def test_what_is_no_absolute_url_is_refused(text):
    with pytest.raises(InvalidTarget, match="no absolute URL"):
        parse_target(text)


def test_a_target_of_the_greatest_length_is_taken():
    text = "https://example.com/".ljust(MAX_TARGET_LENGTH, "a")
    assert parse_target(text) == text


def test_a_longer_target_is_refused():
    with pytest.raises(InvalidTarget, match="longer than 2048"):
        parse_target("https://example.com/".ljust(MAX_TARGET_LENGTH + 1, "a"))


def test_what_counts_is_the_length_of_what_is_stored():
    with pytest.raises(InvalidTarget, match="longer than 2048"):
        parse_target("https://example.com/" + "\u00e9" * 400)


@given(anything | near_urls)
@example("http://a:80:80")
@example("http:/.//a")
@example("http://a/%%30%30")
def test_whatever_is_taken_can_stand_in_a_header_and_stays_the_same_when_taken_again(text):
    try:
        stored = parse_target(text)
    except InvalidTarget:
        return
    assert is_header_safe(stored)
    assert re.match(r"https?://[^/@?#]", stored)
    assert len(stored) <= MAX_TARGET_LENGTH
    assert parse_target(stored) == stored


@given(st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E)))
def test_visible_ascii_is_safe_for_a_header(text):
    assert is_header_safe(text)


@pytest.mark.parametrize(
    "character", [*CONTROL_CHARACTERS, " ", "\x80", "\x85", "\xa0", "\xff", "\u2028", "\u560a", "\ud800"]
)
def test_anything_else_is_not_safe_for_a_header(character):
    assert not is_header_safe(f"https://example.com/{character}a")

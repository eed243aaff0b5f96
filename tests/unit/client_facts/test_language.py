import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanhop.client_facts.language import MAX_LANGUAGES, first_language, ranked_languages


@pytest.mark.parametrize(
    ("accept_language", "language"),
    [
        (b"de", "de"),
        (b"de-AT", "de"),
        (b"DE-at", "de"),
        (b"zh-Hans-CN", "zh"),
        (b"gsw-CH", "gsw"),
        (b"de-AT,de;q=0.9,en;q=0.8", "de"),
        (b"en;q=0.3, de-AT;q=0.8", "de"),
        (b"en;q=0.8,de;q=0.8", "en"),
        (b"en ; q=0.5 , de ; q=0.7", "de"),
        (b"en;Q=0.5,de", "de"),
        (b"*;q=1,de;q=0.1", "de"),
        (b"en;q=0,de;q=0.001", "de"),
        (b",,de", "de"),
    ],
)
def test_the_language_is_the_one_asked_for_most(accept_language, language):
    assert first_language(accept_language) == language


@pytest.mark.parametrize(
    "accept_language",
    [b"", b" ", b"*", b"de;q=0", b"d", b"deut", b"d3", b"\xe4\xf6", b"i-klingon", b"12", b"-de", b"_", b"\0\0"],
)
def test_what_names_no_language_is_none(accept_language):
    assert first_language(accept_language) == ""


@pytest.mark.parametrize("weight", [b"nan", b"inf", b"-1", b"1.5", b"x", b"", b"1e999", b"0x1"])
def test_a_weight_that_is_none_asks_for_nothing(weight):
    assert first_language(b"de;q=" + weight + b",en;q=0.1") == "en"


@given(st.binary(max_size=200))
def test_any_bytes_are_a_short_word_or_nothing(accept_language):
    language = first_language(accept_language)
    assert language == "" or (2 <= len(language) <= 3 and language.isascii() and language.islower())


@given(
    st.lists(st.sampled_from([b"de", b"en-GB", b";q=", b"0.5", b"1", b",", b" ", b"*", b"q", b";", b"=", b"-"])).map(
        b"".join
    )
)
def test_anything_like_the_header_is_a_short_word_or_nothing(accept_language):
    assert len(first_language(accept_language)) in (0, 2, 3)


def test_a_list_without_end_is_read_only_at_its_beginning():
    assert first_language(b"*," * 50_000 + b"de") == ""


@pytest.mark.parametrize(
    ("accept_language", "languages"),
    [
        (b"", ()),
        (b"*", ()),
        (b"de", (("de", 1.0),)),
        (b"de-AT,de;q=0.9,en;q=0.8", (("de-at", 1.0), ("de", 0.9), ("en", 0.8))),
        (b"en;q=0.3, de-AT;q=0.8", (("de-at", 0.8), ("en", 0.3))),
        (b"en;q=0.8,de;q=0.8,fr;q=0.9", (("fr", 0.9), ("en", 0.8), ("de", 0.8))),
        (b"zh-Hant-TW,*;q=0.5", (("zh-hant-tw", 1.0),)),
        (b"de;q=0,en;q=x,fr;q=0.001", (("fr", 0.001),)),
        (b"i-klingon", (("i-klingon", 1.0),)),
        (b"de_AT,-de,de-,,toolongtag,\xe4", ()),
    ],
)
def test_languages_are_ranked_by_weight_and_order(accept_language, languages):
    assert ranked_languages(accept_language) == languages


@given(st.binary(max_size=300))
def test_any_bytes_are_ranked_languages(accept_language):
    languages = ranked_languages(accept_language)
    weights = [weight for _, weight in languages]
    assert weights == sorted(weights, reverse=True)
    assert all(0.0 < weight <= 1.0 for weight in weights)
    assert all(tag == tag.lower() and tag.isascii() and len(tag) <= 71 for tag, _ in languages)


def test_only_so_many_languages_are_read():
    assert len(ranked_languages(b",".join([b"de"] * 1000))) == MAX_LANGUAGES


def test_languages_are_remembered_within_a_bound():
    assert ranked_languages(b"de-CH") is ranked_languages(b"de-" + b"CH")
    assert ranked_languages.cache_info().maxsize == 4096

import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanhop.wire.short_codes import (
    ALPHABET,
    GENERATED_LENGTH,
    RESERVED,
    InvalidShortCode,
    find_code,
    find_exact_code,
    fold_code,
    generate_code,
    parse_custom_code,
)

KELVIN_SIGN = "\u212a"
DOTTED_CAPITAL_I = "\u0130"
DOTLESS_SMALL_I = "\u0131"
FULL_WIDTH_A = "\uff21"
ARABIC_DIGIT_ONE = "\u0661"

custom_codes = st.from_regex(re.compile(r"[a-z0-9][a-z0-9_-]{0,62}", re.ASCII), fullmatch=True)


def test_folding_lowers_every_ascii_letter():
    assert fold_code(string.ascii_uppercase) == string.ascii_lowercase


@given(st.text())
def test_folding_changes_nothing_but_ascii_letters(text):
    folded = fold_code(text)
    assert len(folded) == len(text)
    for before, after in zip(text, folded, strict=True):
        assert after == (before.lower() if before in string.ascii_uppercase else before)


@given(st.text())
def test_folding_twice_is_folding_once(text):
    assert fold_code(fold_code(text)) == fold_code(text)


@pytest.mark.parametrize("character", [KELVIN_SIGN, DOTTED_CAPITAL_I, DOTLESS_SMALL_I, FULL_WIDTH_A, "\u00c4"])
def test_a_letter_that_only_looks_like_ascii_is_not_folded_into_it(character):
    assert fold_code(character) == character
    assert find_code("a" + character) is None


def test_generated_codes_use_the_alphabet_and_all_of_it():
    codes = [generate_code() for _ in range(2_000)]
    assert {len(code) for code in codes} == {GENERATED_LENGTH}
    assert set("".join(codes)) == set(ALPHABET)


def test_the_alphabet_has_no_look_alikes():
    assert len(set(ALPHABET)) == len(ALPHABET) == 31
    assert not set("01ilo") & set(ALPHABET)


def test_a_generated_code_is_a_valid_custom_code():
    for _ in range(100):
        code = generate_code()
        assert parse_custom_code(code) == code


@given(custom_codes.filter(lambda code: code not in RESERVED))
def test_a_custom_code_is_taken_as_it_is_and_in_upper_case(code):
    assert parse_custom_code(code) == code
    assert parse_custom_code(code.upper()) == code


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-a",
        "_a",
        "a" * 64,
        "a b",
        "a.b",
        "a/b",
        "a%62",
        "a\n",
        "\na",
        " a",
        "a\0",
        "caf\u00e9",
        "1" + ARABIC_DIGIT_ONE,
        ".well-known",
        "\ud800",
    ],
)
def test_what_is_no_code_is_refused_and_matches_no_path(text):
    assert find_code(text) is None
    with pytest.raises(InvalidShortCode, match="1 to 63 characters"):
        parse_custom_code(text)


@pytest.mark.parametrize("text", ["a", "0", "a" * 63, "a-_", "0-"])
def test_the_edges_of_the_rule_are_inside(text):
    assert parse_custom_code(text) == text


@pytest.mark.parametrize("word", sorted(word for word in RESERVED if find_code(word)))
def test_a_reserved_word_is_refused_in_any_case(word):
    for spelling in (word, word.upper(), word.title()):
        with pytest.raises(InvalidShortCode, match="reserved"):
            parse_custom_code(spelling)


@pytest.mark.parametrize("word", sorted(RESERVED))
def test_no_reserved_word_can_be_had(word):
    with pytest.raises(InvalidShortCode):
        parse_custom_code(word)


@given(st.text())
def test_any_text_is_a_code_or_refused(text):
    try:
        code = parse_custom_code(text)
    except InvalidShortCode:
        return
    assert re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,62}", code)
    assert find_code(code) == find_code(text) == code


@given(st.from_regex(re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}", re.ASCII), fullmatch=True))
def test_an_exact_code_is_the_text_itself(code):
    assert find_exact_code(code) == code


@given(st.text())
def test_what_could_be_an_exact_code_could_be_a_folded_one(text):
    assert find_exact_code(text) in (text, None)
    assert (find_exact_code(text) is None) == (find_code(text) is None)


@pytest.mark.parametrize("text", ["", "-A", "A" * 64, "A b", "A\n", "A" + KELVIN_SIGN, "1" + ARABIC_DIGIT_ONE])
def test_what_is_no_exact_code_matches_no_path(text):
    assert find_exact_code(text) is None

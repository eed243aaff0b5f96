"""Keys: their form, and what is stored of them."""

import hashlib

import pytest

from control_api.identity.key_format import generate_key, is_same_text, is_secret_right, parse_key


def test_a_new_key_parses_into_its_id_and_the_secret_that_was_hashed():
    key = generate_key()
    key_id, secret = parse_key(key.text)
    assert key_id == key.id
    assert key.secret_hash == hashlib.sha256(secret.encode()).digest()
    assert is_secret_right(secret, key.secret_hash)


def test_keys_differ_and_do_not_show_in_their_repr():
    keys = {generate_key() for _ in range(100)}
    assert len({key.id for key in keys}) == len({key.text for key in keys}) == 100
    assert all(parse_key(key.text)[1] not in repr(key) for key in keys)


def test_an_id_holds_80_bits_and_a_secret_160():
    key_id, secret = parse_key(generate_key().text)
    assert len(key_id) * 5 == 80
    assert len(secret) * 5 == 160


ID, SECRET = "a" * 16, "a" * 32


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\x00",
        "sh_",
        "sh__",
        "sh_abc_def",
        "sh_" * 10_000,
        f"SH_{ID}_{SECRET}",
        f"sh_{ID}_{SECRET}a",
        f"sh_{ID}_{SECRET}\n",
        f"sh_{ID}_{SECRET[1:]}1",
        f"sh_{ID.upper()}_{SECRET}",
    ],
)
def test_other_texts_are_no_keys(text):
    assert parse_key(text) is None


def test_a_wrong_secret_and_an_unknown_key_are_both_wrong():
    key = generate_key()
    assert not is_secret_right("a" * 32, key.secret_hash)
    assert not is_secret_right("a" * 32, None)


def test_texts_are_compared_whole():
    assert is_same_text("one", "one")
    assert not is_same_text("one", "ones")

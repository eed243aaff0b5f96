import ipaddress
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanhop.routing.variants import choose_variant
from scanhop.wire.route import Variant

SECRET = b"s" * 32
CLIENTS = [ipaddress.ip_address((10 << 24) + number) for number in range(20_000)]


def variants(*weights: int) -> list[Variant]:
    return [
        Variant(name, weight, f"https://example.com/{name}")
        for name, weight in zip("abcdefghij", weights, strict=False)
    ]


def choices(among: list[Variant], secret: bytes = SECRET, code: str = "menu", user_agent: str = "phone") -> list[str]:
    return [choose_variant(among, secret, code, address, user_agent).name for address in CLIENTS]


@pytest.mark.parametrize("weights", [(1, 1), (1, 3), (1, 999), (50, 30, 20), (1,) * 10, (1000, 1000, 1)])
def test_scans_are_divided_by_weight(weights):
    counts = Counter(choices(variants(*weights)))
    for variant in variants(*weights):
        expected = len(CLIENTS) * variant.weight / sum(weights)
        assert abs(counts[variant.name] - expected) <= 5 * expected**0.5


def test_who_asks_again_gets_the_same():
    assert choices(variants(1, 2, 3)) == choices(variants(1, 2, 3))


def test_weights_in_the_same_proportion_divide_alike():
    assert choices(variants(1, 3)) == choices(variants(250, 750))


def test_a_weight_that_grows_takes_from_others_and_gives_nobody_away():
    before, after = choices(variants(1, 1)), choices(variants(3, 1))
    assert all(then == "a" for now, then in zip(before, after, strict=True) if now == "a")


@pytest.mark.parametrize("other", [{"secret": b"t" * 32}, {"code": "card"}, {"user_agent": "tablet"}])
def test_another_secret_code_or_user_agent_divides_anew(other):
    usual, anew = choices(variants(1, 1)), choices(variants(1, 1), **other)
    agreeing = sum(one == another for one, another in zip(usual, anew, strict=True))
    assert abs(agreeing - len(CLIENTS) / 2) <= 5 * len(CLIENTS) ** 0.5


def test_what_is_hashed_is_told_apart_where_it_ends():
    code, agent = "aaab", "c"
    moved = {choose_variant(variants(*[1] * 10), SECRET, code[:at], None, code[at:] + agent).name for at in range(5)}
    assert len(moved) > 1


@given(
    st.lists(st.integers(0, 1000), min_size=1, max_size=10),
    st.binary(),
    st.text(),
    st.none() | st.ip_addresses(),
    st.text(),
)
def test_any_client_gets_one_of_them(weights, secret, code, address, user_agent):
    among = variants(*weights)
    assert choose_variant(among, secret, code.encode("utf-8", "replace").decode(), address, user_agent) in among

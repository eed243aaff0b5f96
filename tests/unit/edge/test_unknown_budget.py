import pytest

from edge.unknown_budget import BURST, MAX_NETWORKS, REFILL_PER_S, UnknownBudget, network_of

HERE = b"\xc6\x33\x64\x07"
NEIGHBOUR = b"\xc6\x33\x64\xc8"
ELSEWHERE = b"\xc6\x33\x65\x07"


@pytest.fixture
def budget() -> UnknownBudget:
    return UnknownBudget()


def spend(budget: UnknownBudget, address: bytes = HERE, now: float = 0.0) -> int:
    """How many answers there were left."""
    return sum(budget.take(address, now) for _ in range(int(BURST) + 1))


def test_a_network_may_ask_for_so_many_at_once_and_then_for_some_each_second(budget):
    assert spend(budget) == BURST
    assert spend(budget, now=0.5) == 0
    assert spend(budget, now=5.0) == 5 * REFILL_PER_S
    assert spend(budget, now=1e9) == BURST


def test_what_is_beyond_the_budget_is_counted(budget):
    spend(budget)
    budget.take(HERE, 0.0)
    assert budget.exceeded == 2  # the one that found nothing left, and this one


def test_looking_takes_nothing(budget):
    for _ in range(100):
        assert budget.has_any(HERE, 0.0)
    assert spend(budget) == BURST
    assert not budget.has_any(HERE, 0.0)
    assert budget.has_any(HERE, 2.0)


def test_neighbours_share_and_others_do_not(budget):
    spend(budget)
    assert not budget.has_any(NEIGHBOUR, 0.0)
    assert spend(budget, ELSEWHERE) == BURST


def test_a_network_is_24_bits_of_one_kind_of_address_and_48_of_the_other():
    assert network_of(HERE) == network_of(NEIGHBOUR) != network_of(ELSEWHERE)
    assert network_of(bytes(6) + b"\1" * 10) == network_of(bytes(16)) != network_of(bytes(5) + b"\1" * 11)
    assert network_of(b"") == b""


def test_the_networks_are_bounded_and_the_first_one_begins_anew(budget):
    spend(budget)
    for number in range(MAX_NETWORKS):
        budget.take(number.to_bytes(4, "big") + bytes(12), 0.0)
    assert len(budget._networks) <= MAX_NETWORKS
    assert budget.has_any(HERE, 0.0)

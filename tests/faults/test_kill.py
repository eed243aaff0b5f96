"""kill -9 of each process under load: the crash rule holds, and the product goes on. One round each; soak: many.

The moments are by chance; FAULT_SEED repeats those of a run.
"""

import os
import random

import pytest

from tests.faults.kills import FAULTS, kill_api_and_worker, product_on_fixed_ports, strike_in_a_round
from tests.faults.phones import new_codes
from tests.product import Product, eventually

SOAK_ROUNDS = 20


@pytest.fixture(scope="module")
def product(tmp_path_factory):
    with product_on_fixed_ports(tmp_path_factory.mktemp("up") / "data") as running:
        yield running


@pytest.fixture
def chooser():
    seed = int(os.environ.get("FAULT_SEED") or random.SystemRandom().randrange(2**32))
    print(f"FAULT_SEED={seed}")  # noqa: T201 - shown where the test fails
    return random.Random(seed)


@pytest.fixture(scope="module")
def urls(product):
    return new_codes(product, "kill@example.com", 4)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_kill_loses_and_doubles_no_scan(product, urls, chooser, fault):
    assert strike_in_a_round(product, urls, FAULTS[fault], chooser).violations() == []


def test_the_api_and_the_worker_are_killed_and_an_edit_still_takes_effect(product):
    kill_api_and_worker(product)
    eventually(lambda: _is_healthy(product))
    assert new_codes(product, "after@example.com", 1)


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("fault", FAULTS)
def test_killed_again_and_again(product, urls, chooser, fault):
    for _ in range(SOAK_ROUNDS):
        assert strike_in_a_round(product, urls, FAULTS[fault], chooser).violations() == []


def _is_healthy(product: Product) -> bool:
    with product.api() as api:
        return api.get("/v1/public/health").json()["status"] == "ok"

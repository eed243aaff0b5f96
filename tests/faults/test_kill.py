"""kill -9 of each process under load: the crash rule holds, and the product goes on. One round each; soak: many."""

import os
import random
import signal
import time

import pytest

from tests.faults.phones import Phones, check_crash_rule, new_codes
from tests.product import Product, eventually

SOAK_ROUNDS = 20


@pytest.fixture(scope="module")
def product(tmp_path_factory):
    with Product(
        tmp_path_factory.mktemp("up") / "data", {"SCANHOP_LOG_LEVEL": "warning", "SCANHOP_EDGE_WORKERS": "2"}
    ) as running:
        yield running


def kill(product: Product, *words: str) -> None:
    """kill -9 of a process whose command line holds `words`, and wait for its successor."""
    victim = product.pids(*words)[-1]
    os.kill(victim, signal.SIGKILL)
    eventually(lambda: bool(set(product.pids(*words)) - {victim}), 30)


def test_an_edge_worker_is_killed(product):
    with Phones(new_codes(product, "edge@example.com", 4)) as phones:
        phones.wait_for(200)
        kill(product, "edge", "--worker")
        phones.wait_for(200)
    check_crash_rule(product, phones)


def test_the_edge_supervisor_is_killed_and_its_successor_answers_on_the_same_address(product):
    with Phones(new_codes(product, "supervisor@example.com", 4)) as phones:
        phones.wait_for(100)
        victim = next(pid for pid in product.pids("scanhop", "edge") if pid not in product.pids("edge", "--worker"))
        os.kill(victim, signal.SIGKILL)
        time.sleep(0.5)
        phones.wait_for(100)
    check_crash_rule(product, phones)


def test_ingest_is_killed(product):
    with Phones(new_codes(product, "ingest@example.com", 4)) as phones:
        phones.wait_for(200)
        kill(product, "scanhop", "ingest")
        phones.wait_for(400)
    check_crash_rule(product, phones)


def test_clickhouse_is_killed(product):
    with Phones(new_codes(product, "clickhouse@example.com", 4)) as phones:
        phones.wait_for(200)
        kill(product, "scanhop.devstack.clickhouse_front")
        phones.wait_for(400)
    check_crash_rule(product, phones)


def test_the_api_and_the_worker_are_killed_and_an_edit_still_takes_effect(product):
    kill(product, "scanhop", "worker")
    kill(product, "scanhop", "api")
    eventually(lambda: _is_healthy(product))
    assert new_codes(product, "after@example.com", 1)


@pytest.mark.soak
@pytest.mark.parametrize(
    "words", [("edge", "--worker"), ("scanhop", "ingest"), ("scanhop.devstack.clickhouse_front",)], ids=" ".join
)
def test_killed_again_and_again_at_random_moments(product, words):
    chosen = random.Random(11)
    with Phones(new_codes(product, f"soak-{words[-1]}@example.com".replace("--", ""), 4)) as phones:
        for _ in range(SOAK_ROUNDS):
            time.sleep(chosen.uniform(0.1, 3))
            kill(product, *words)
        phones.wait_for(200)
    check_crash_rule(product, phones)


def _is_healthy(product: Product) -> bool:
    with product.api() as api:
        return api.get("/v1/public/health").json()["status"] == "ok"

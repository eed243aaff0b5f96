"""The disk stalls under load, with the spool, the snapshots of routes and the log on it: every phone gets its
redirect, what is not recorded is counted, and recording goes on when the disk does."""

import os
import random
import shutil
import signal
import time
from collections.abc import Iterator

import pytest

from scanhop.spool import LossReason
from tests.faults.engines import Engines
from tests.faults.phones import Phones, check_crash_rule, new_codes
from tests.faults.stalling_disk import StallingDisk
from tests.product import Product, eventually

pytestmark = pytest.mark.skipif(not (shutil.which("cc") or shutil.which("gcc")), reason="needs a C compiler")

LOST = "scanhop_edge_lost_scans_total"


@pytest.fixture(scope="module")
def running(tmp_path_factory) -> Iterator[tuple[StallingDisk, Product]]:
    folder = tmp_path_factory.mktemp("stalled")
    disk = StallingDisk(folder, folder / "data")
    with (
        Engines(folder / "engines") as engines,
        Product(folder / "data", {**engines.settings, **disk.settings, "SCANHOP_LOG_LEVEL": "warning"}) as product,
    ):
        yield disk, product


@pytest.fixture
def disk(running) -> StallingDisk:
    return running[0]


@pytest.fixture
def product(running) -> Product:
    return running[1]


def count_lost(product: Product) -> int:
    return int(sum(product.edge_figure(LOST, reason.value) for reason in LossReason))


def count_written(product: Product) -> float:
    return product.edge_figure("scanhop_edge_spooled_scans_total", "written")


def test_phones_are_answered_through_a_stall_and_what_is_lost_is_counted(disk, product):
    urls, lost = new_codes(product, "stall@example.com", 8), count_lost(product)
    with Phones(urls) as phones:
        phones.wait_for(200)
        with disk.stalled():
            phones.wait_for(600)
            stalled = product.edge_figure(LOST, "disk_stalled")
        assert stalled > lost
        written = count_written(product)
        eventually(lambda: count_written(product) > written + 100)
    assert phones.refused == {}
    assert not phones.broken
    eventually(lambda: '"spool_stalled"' in product.log and '"scans_lost"' in product.log)
    check_crash_rule(product, phones, count_lost(product) - lost)
    print(f"longest wait {max(phones.waits):.3f} s of {len(phones.waits)}")  # noqa: T201


def test_short_stalls_one_after_the_other(disk, product):
    urls, lost, chosen = new_codes(product, "stalls@example.com", 8), count_lost(product), random.Random(7)
    with Phones(urls) as phones:
        for _ in range(8):
            phones.wait_for(50)
            with disk.stalled():
                time.sleep(chosen.uniform(0.05, 0.6))
    assert phones.refused == {}
    assert not phones.broken
    check_crash_rule(product, phones, count_lost(product) - lost)


def test_a_worker_that_is_stopped_in_a_stall_has_a_successor_when_the_disk_is_back(disk, product):
    [url] = new_codes(product, "drain@example.com", 1)
    with Phones([url], threads=2) as phones:
        phones.wait_for(20)
        [worker] = product.pids("edge", "--worker")
        with disk.stalled():
            phones.wait_for(50)
            os.kill(worker, signal.SIGTERM)
            time.sleep(1)
        eventually(lambda: worker not in product.pids("edge", "--worker"), 30)
        phones.wait_for(50)


@pytest.mark.soak
def test_many_stalls_of_all_lengths(disk, product):
    urls, lost, chosen = new_codes(product, "soak@example.com", 50), count_lost(product), random.Random(13)
    with Phones(urls) as phones:
        for _ in range(60):
            time.sleep(chosen.uniform(0.05, 2))
            with disk.stalled():
                time.sleep(chosen.choice((0.01, 0.1, 0.24, 0.26, 1, 4)))
    assert phones.refused == {}
    assert not phones.broken
    check_crash_rule(product, phones, count_lost(product) - lost)

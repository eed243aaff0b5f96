"""The spool's disk, or the spool's own bound, is full: redirects go on, what is not recorded is counted and told, and
recording goes on when there is room."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.phones import Phones, check_crash_rule, new_codes
from tests.faults.test_stalled_disk import LOST, count_lost, count_written
from tests.product import Product, eventually

DISK = "16m"
CHUNK = 64 << 10


@pytest.fixture(scope="module")
def spool(tmp_path_factory) -> Iterator[Path]:
    """On a small disk of its own."""
    spool = tmp_path_factory.mktemp("full") / "data" / "spool"
    spool.mkdir(parents=True)
    mount = ["/bin/mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", spool]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("needs the right to mount a file system")
    yield spool
    subprocess.run(["/bin/umount", spool], check=True)


@pytest.fixture(scope="module")
def product(spool) -> Iterator[Product]:
    with Product(spool.parent, {"SCANHOP_LOG_LEVEL": "warning"}) as running:
        yield running


def fill_to_the_last_byte(ballast: Path) -> None:
    with ballast.open("wb", buffering=0) as file:
        for size in (CHUNK, 1):
            while _takes(file.write, bytes(size)):
                continue


def _takes(write: Callable[[bytes], int | None], data: bytes) -> bool:
    try:
        return bool(write(data))
    except OSError:
        return False


def check_losses_and_recovery(product: Product, phones: Phones, reason: str, ballast: Path) -> None:
    """In the middle of the load, when there is no room; makes room again."""
    before = product.edge_figure(LOST, reason)
    eventually(lambda: product.edge_figure(LOST, reason) > before + 200)
    ballast.unlink()
    written = count_written(product)
    eventually(lambda: count_written(product) > written + 100)


def test_on_a_full_disk_redirects_go_on_and_every_lost_scan_is_counted(product, spool):
    lost = count_lost(product)
    with Phones(new_codes(product, "full@example.com", 8)) as phones:
        phones.wait_for(200)
        fill_to_the_last_byte(spool / "ballast")
        check_losses_and_recovery(product, phones, "disk_full", spool / "ballast")
    assert phones.refused == {}
    assert not phones.broken
    assert '"scans_lost"' in product.log
    check_crash_rule(product, phones, count_lost(product) - lost)


def test_at_the_spools_bound_redirects_go_on_and_every_lost_scan_is_counted(product, spool):
    lost, ballast = count_lost(product), spool / "not-ours" / "ballast"
    ballast.parent.mkdir()
    with Phones(new_codes(product, "bound@example.com", 8)) as phones:
        phones.wait_for(200)
        ballast.touch()
        os.truncate(ballast, 4 << 30)  # it has that size, and takes no room
        check_losses_and_recovery(product, phones, "spool_full", ballast)
    assert phones.refused == {}
    assert not phones.broken
    check_crash_rule(product, phones, count_lost(product) - lost)


@pytest.mark.soak
def test_a_disk_that_fills_again_and_again(product, spool):
    lost = count_lost(product)
    with Phones(new_codes(product, "again@example.com", 8)) as phones:
        for _ in range(10):
            phones.wait_for(200)
            fill_to_the_last_byte(spool / "ballast")
            check_losses_and_recovery(product, phones, "disk_full", spool / "ballast")
    assert phones.refused == {}
    check_crash_rule(product, phones, count_lost(product) - lost)

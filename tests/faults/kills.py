"""kill -9 of a part of the product under load, at moments of chance, and what became of the scans."""

import os
import random
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from scanhop.devstack.ports import reserve_port
from scanhop.spool.segment import BATCH
from tests.faults.phones import Account, Phones, settle
from tests.product import Product, descendants, eventually

LONGEST_WAIT_S = 2.0
AFTERWARDS = 100  # answers
SUCCESSOR_S = 60

Strike = Callable[[Product], None]


@contextmanager
def product_on_fixed_ports(data_dir: Path) -> Iterator[Product]:
    """With two edge workers; after a restart phones find it where it was."""
    reserved = [reserve_port() for _ in range(2)]
    edge, api = (str(port.number) for port in reserved)
    for port in reserved:
        port.release()
    settings = {"SCANHOP_LOG_LEVEL": "warning", "SCANHOP_EDGE_WORKERS": "2"}
    with Product(data_dir, settings, "--edge-port", edge, "--api-port", api) as product:
        yield product


def strike_in_a_round(product: Product, urls: Sequence[str], strike: Strike, chooser: random.Random) -> Account:
    """One round: phones scan, the blow falls, phones scan on; then the account of this round's scans."""
    with Phones(urls) as phones:
        phones.wait_for(1)
        time.sleep(chooser.uniform(0, LONGEST_WAIT_S))
        strike(product)
        phones.wait_for(AFTERWARDS)
    return settle(product, phones)


def kill_edge_worker(product: Product) -> None:
    _kill_one(product, _edge_workers)


def kill_edge_supervisor(product: Product) -> None:
    """Its workers drain, and another one takes the socket over."""
    _kill_one(product, lambda product: set(product.pids("scanhop", "edge")) - _edge_workers(product))


def kill_ingest(product: Product) -> None:
    _kill_one(product, lambda product: set(product.pids("scanhop", "ingest")))


def kill_clickhouse(product: Product) -> None:
    _kill_one(product, lambda product: set(product.pids("scanhop.devstack.clickhouse_front")))


def kill_ingest_while_it_loads(product: Product) -> None:
    _await_a_batch(product)
    kill_ingest(product)


def kill_clickhouse_while_it_is_loaded(product: Product) -> None:
    _await_a_batch(product)
    kill_clickhouse(product)


def kill_api_and_worker(product: Product) -> None:
    for service in ("worker", "api"):
        _kill_one(product, lambda product, service=service: set(product.pids("scanhop", service)))


def kill_everything(product: Product) -> None:
    """All processes at one moment, the engines too; then `scanhop up` on the same data."""
    pids = _freeze_all(product.pid)
    for pid in pids:
        _signal(pid, signal.SIGKILL)
    product.stop()
    eventually(lambda: not any(map(_is_running, pids)), SUCCESSOR_S)
    product.start()


FAULTS: Mapping[str, Strike] = {
    "an edge worker": kill_edge_worker,
    "the edge supervisor": kill_edge_supervisor,
    "ingest": kill_ingest,
    "ingest while it loads a batch": kill_ingest_while_it_loads,
    "ClickHouse": kill_clickhouse,
    "ClickHouse while it takes a batch": kill_clickhouse_while_it_is_loaded,
    "everything at once": kill_everything,
}


def _await_a_batch(product: Product) -> None:
    """A frozen batch exists from before it is sent until its acknowledgement: tens of milliseconds."""
    deadline = time.monotonic() + SUCCESSOR_S
    while not list(product.data_dir.glob(f"spool/*/*{BATCH}")):
        assert time.monotonic() < deadline, "no batch was frozen"


def _edge_workers(product: Product) -> set[int]:
    return set(product.pids("scanhop", "edge", "--worker"))


def _kill_one(product: Product, find: Callable[[Product], set[int]]) -> None:
    """And wait for its successor."""
    before = find(product)
    os.kill(max(before), signal.SIGKILL)
    eventually(lambda: bool(find(product) - before), SUCCESSOR_S)


def _freeze_all(root: int) -> list[int]:
    """Parents first, so that none starts another meanwhile."""
    frozen: list[int] = []
    while new := [pid for pid in (root, *descendants(root)) if pid not in frozen]:
        for pid in new:
            _signal(pid, signal.SIGSTOP)
        frozen += new
    return frozen


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def _is_running(pid: int) -> bool:
    """A zombie is not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"

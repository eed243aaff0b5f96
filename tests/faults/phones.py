"""A load of phones whose every scan carries a nonce, and the crash rule that its rows must keep.

The rule: answered ⊆ rows, rows ⊆ sent, no nonce twice, rows = sum of the rollups' `events`; rows without an answer
are at most the requests whose connection broke. Where the edge counted scans as lost, the answered ones without a row
are as many as it counted, but for those that belong to broken requests.
"""

import itertools
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import uuid4

import httpx
from clickhouse_connect.driver.exceptions import ClickHouseError

from tests.product import Product, eventually

PATIENCE_S = 10


@dataclass
class Phones:
    """`answered`, `broken`: nonces of scans that got their redirect, or got no answer; `waits`: seconds until each
    answer. A context manager that scans all of `urls` in turns from `threads` phones until it is left."""

    urls: Sequence[str]
    threads: int = 8
    requests_a_second: float = 400
    answered: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    refused: Counter[int] = field(default_factory=Counter)
    waits: list[float] = field(default_factory=list)
    prefix: str = field(default_factory=lambda: f"https://{uuid4()}.example/")

    def __enter__(self) -> "Phones":
        self._stopping = threading.Event()
        self._running = [threading.Thread(target=self._scan, args=(number,)) for number in range(self.threads)]
        for thread in self._running:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        for thread in self._running:
            thread.join()

    def wait_for(self, answers: int) -> None:
        """Until so many more scans were answered."""
        wanted = len(self.answered) + answers
        eventually(lambda: len(self.answered) >= wanted, 60)

    def _scan(self, number: int) -> None:
        pause = self.threads / self.requests_a_second
        with httpx.Client(timeout=PATIENCE_S) as phone:
            for turn in itertools.count(number, self.threads):
                if self._stopping.is_set():
                    return
                self._scan_once(phone, self.urls[turn % len(self.urls)])
                time.sleep(pause)

    def _scan_once(self, phone: httpx.Client, url: str) -> None:
        nonce = f"{self.prefix}{uuid4()}"
        began = time.monotonic()
        try:
            answer = phone.get(url, headers={"Referer": nonce})
        except httpx.TransportError:
            self.broken.append(nonce)
            return
        self.waits.append(time.monotonic() - began)
        if answer.status_code == 302:
            self.answered.append(nonce)
        else:
            self.refused[answer.status_code] += 1


def new_codes(product: Product, email: str, count: int) -> list[str]:
    """The short URLs of new codes in a workspace of their own."""
    with product.api(product.new_account(email)) as api:
        body = {"name": "fault", "type": "url", "target_url": "https://example.com/fault"}
        return [api.post("/v1/qr-codes", json=body).json()["short_url"] for _ in range(count)]


def check_crash_rule(product: Product, phones: Phones, lost: int = 0) -> None:
    """Waits until ingest has nothing left to take, then holds the rows against what was sent and answered.

    `lost`: what the edge counted as lost meanwhile.
    """
    answered, broken = set(phones.answered), set(phones.broken)
    eventually(lambda: _can_query(product), 60)
    eventually(lambda: len(answered - set(_nonces(product, phones))) <= lost, 60)
    eventually(lambda: not list(product.data_dir.glob("spool/*/*.sealed")), 30)
    nonces = _nonces(product, phones)
    rows = set(nonces)
    assert len(nonces) == len(rows), "a scan has two rows"
    missing = len(answered - rows)
    assert lost - len(broken) <= missing <= lost, f"{missing} answered scans have no row, {lost} were counted as lost"
    assert rows <= answered | broken, "rows that nobody sent"
    assert len(rows - answered) <= len(broken)
    assert phones.refused == {}
    events = product.query("SELECT sum(events) FROM daily_aggregates")[0][0]
    assert events == product.query("SELECT count() FROM qr_scan_events")[0][0]
    assert events == product.query("SELECT sum(rows) FROM scan_batches FINAL")[0][0]


def _can_query(product: Product) -> bool:
    """ClickHouse may be on its way back."""
    try:
        return bool(product.query("SELECT 1"))
    except ClickHouseError:
        return False


def _nonces(product: Product, phones: Phones) -> list[str]:
    rows = product.query(f"SELECT referer FROM qr_scan_events WHERE startsWith(referer, '{phones.prefix}')")
    return [referer for (referer,) in rows]

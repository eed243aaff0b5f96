"""A load of phones whose every scan carries a nonce, and the crash rule that its rows must keep.

The rule: answered ⊆ rows, rows ⊆ sent, no nonce twice, rows = sum of the rollups' `events`; rows without an answer
are at most the requests whose connection broke. A request whose connection was refused was not sent. Where the edge
counted scans as lost, the answered ones without a row are as many as it counted, but for those that belong to broken
requests.
"""

import contextlib
import itertools
import select
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlsplit
from uuid import uuid4

from clickhouse_connect.driver.exceptions import ClickHouseError

from tests.product import Product, eventually

PATIENCE_S = 10


@dataclass
class Phones:
    """`answered`, `broken`: nonces of scans that got their redirect, or got no answer; `unsent`: how many found
    nobody to connect to; `waits`: seconds until each answer. A context manager that scans all of `urls` in turns from
    `threads` phones until it is left."""

    urls: Sequence[str]
    threads: int = 8
    requests_a_second: float = 400
    answered: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    unsent: int = 0
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
        """At its turn's time, or at once when it is late: one phone after the other keeps to the rate."""
        pause = self.threads / self.requests_a_second
        address = urlsplit(self.urls[0]).netloc
        phone = HTTPConnection(address, timeout=PATIENCE_S)
        due = time.monotonic()
        for turn in itertools.count(number, self.threads):
            if self._stopping.is_set():
                break
            self._scan_once(phone, urlsplit(self.urls[turn % len(self.urls)]).path)
            due = max(due + pause, time.monotonic() - 1)
            time.sleep(max(0, due - time.monotonic()))
        phone.close()

    def _scan_once(self, phone: HTTPConnection, path: str) -> None:
        nonce = f"{self.prefix}{uuid4()}"
        began = time.monotonic()
        try:
            if phone.sock is not None and _was_closed(phone.sock):
                phone.close()
            if phone.sock is None:
                phone.connect()
        except OSError:
            self.unsent += 1
            return
        try:
            phone.request("GET", path, headers={"Referer": nonce})
            answer = phone.getresponse()
            answer.read()
        except (OSError, HTTPException):
            phone.close()
            self.broken.append(nonce)
            return
        self.waits.append(time.monotonic() - began)
        if answer.status == 302:
            self.answered.append(nonce)
        else:
            self.refused[answer.status] += 1


def _was_closed(connection: socket.socket) -> bool:
    """By the other side, while nothing was asked: there is an end to read."""
    return bool(select.select([connection], [], [], 0)[0])


def new_codes(product: Product, email: str, count: int) -> list[str]:
    """The short URLs of new codes in a workspace of their own."""
    with product.api(product.new_account(email)) as api:
        body = {"name": "fault", "type": "url", "target_url": "https://example.com/fault"}
        return [api.post("/v1/qr-codes", json=body).json()["short_url"] for _ in range(count)]


@dataclass(frozen=True)
class Account:
    """What became of the scans of some phones, in numbers. `missing`: answered, and no row. `unanswered`: rows
    without an answer. `invented`: rows of scans that were never sent. `uneven`: by how much the rollups, or the
    accounts of batches, differ from all rows there are."""

    sent: int
    answered: int
    broken: int
    refused: int
    rows: int
    missing: int
    doubled: int
    unanswered: int
    invented: int
    uneven: int

    def violations(self, lost: int = 0) -> list[str]:
        """`lost`: what the edge counted as lost meanwhile."""
        rule = {
            "answered scans have no row": lost - self.broken <= self.missing <= lost,
            "scans have two rows": self.doubled == 0,
            "rows that nobody sent": self.invented == 0,
            "more rows without an answer than broken requests": self.unanswered <= self.broken,
            "answers that are no redirect": self.refused == 0,
            "rows and rollups differ": self.uneven == 0,
        }
        return [f"{said} ({self}, counted as lost: {lost})" for said, holds in rule.items() if not holds]


def check_crash_rule(product: Product, phones: Phones, lost: int = 0) -> None:
    """`lost`: what the edge counted as lost meanwhile."""
    assert settle(product, phones, lost).violations(lost) == []


def settle(product: Product, phones: Phones, lost: int = 0) -> Account:
    """Waits until ingest has nothing left to take (or gives up), then holds the rows against what was sent."""
    answered, broken = set(phones.answered), set(phones.broken)
    eventually(lambda: _can_query(product), 60)
    _wait(lambda: len(answered - set(_nonces(product, phones))) <= lost, 60)
    _wait(lambda: not list(product.data_dir.glob("spool/*/*.sealed")), 30)
    nonces = _nonces(product, phones)
    rows = set(nonces)
    return Account(
        sent=len(answered) + len(broken) + phones.refused.total(),
        answered=len(answered),
        broken=len(broken),
        refused=phones.refused.total(),
        rows=len(nonces),
        missing=len(answered - rows),
        doubled=len(nonces) - len(rows),
        unanswered=len(rows & broken),
        invented=len(rows - answered - broken),
        uneven=_unevenness(product),
    )


def _unevenness(product: Product) -> int:
    (rows,), (events,), (accepted,) = (
        product.query(statement)[0]
        for statement in (
            "SELECT count() FROM qr_scan_events",
            "SELECT sum(events) FROM daily_aggregates",
            "SELECT sum(rows) FROM scan_batches FINAL",
        )
    )
    return max(abs(rows - events), abs(rows - accepted))


def _wait(probe: Callable[[], bool], within_s: float) -> None:
    """What is not so by then the numbers will say."""
    with contextlib.suppress(AssertionError):
        eventually(probe, within_s)


def _can_query(product: Product) -> bool:
    """ClickHouse may be on its way back."""
    try:
        return bool(product.query("SELECT 1"))
    except ClickHouseError:
        return False


def _nonces(product: Product, phones: Phones) -> list[str]:
    rows = product.query(f"SELECT referer FROM qr_scan_events WHERE startsWith(referer, '{phones.prefix}')")
    return [referer for (referer,) in rows]

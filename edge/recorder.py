"""Puts each scan into the spool before its answer leaves.

A scan that the disk refuses is counted there by reason, and logged at most once a second; the answer goes out.
"""

import socket
import time
from collections import Counter

from edge.local_cache import CachedRoute
from scanhop.spool import SpoolWriter
from scanhop.telemetry.logs import get_logger
from scanhop.wire.scan_record import Outcome, encode_headers, encode_scan

LOSS_LOG_INTERVAL_S = 1.0

_log = get_logger()


class Recorder:
    """`scans` counts what was answered, by outcome, whether or not it could be written."""

    def __init__(self, spool: SpoolWriter) -> None:
        self._spool = spool
        self._loss_logged_at = float("-inf")
        self.scans: Counter[Outcome] = Counter()

    def record(self, found: CachedRoute, outcome: Outcome, peer: str, headers: list[tuple[bytes, bytes]]) -> None:
        """`headers` have lower-case names, as ASGI gives them. `peer` is the socket's, empty where there is none."""
        self.scans[outcome] += 1
        at_ns = self._spool.now_ns()
        payload = encode_scan(found.prefix, at_ns, outcome, packed_address(peer), encode_headers(headers))
        taken = self._spool.append(payload, at_ns=at_ns, is_unknown=found.route is None)
        if not (self._spool.flush() and taken):
            self._log_loss()
        self._spool.seal_if_full()

    def _log_loss(self) -> None:
        now = time.monotonic()
        if now - self._loss_logged_at >= LOSS_LOG_INTERVAL_S:
            self._loss_logged_at = now
            _log.error("scans_lost", lost=dict(self._spool.lost))


def packed_address(text: str) -> bytes:
    """4 or 16 bytes; none for what is no address. A zone (`fe80::1%eth0`) is left out."""
    try:
        if ":" in text:
            return socket.inet_pton(socket.AF_INET6, text.partition("%")[0])
        return socket.inet_pton(socket.AF_INET, text)
    except OSError:
        return b""

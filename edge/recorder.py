"""Puts each scan into the spool before its answer leaves.

`record` appends; `flush` writes what one tick of the loop appended with one write(2), before the answers of that tick
leave. A scan that the disk refuses is counted there by reason, and logged at most once a second; the answer goes out,
after a moment at most when the disk stalls.
"""

import socket
import time

from edge.hot_path import pack_records
from edge.ready_scan import Item
from scanhop.spool import BoundedWriter
from scanhop.telemetry.logs import get_logger
from scanhop.wire.scan_record import NOTHING_CHOSEN, Outcome, encode_moment, encode_peer, encode_scan

LOSS_LOG_INTERVAL_S = 1.0

_log = get_logger()


class Recorder:
    """`scans` counts what was answered, by the number of the outcome, whether or not it could be written."""

    def __init__(self, spool: BoundedWriter) -> None:
        self._spool = spool
        self._loss_logged_at = float("-inf")
        self.scans = [0] * (max(Outcome) + 1)

    def record(  # noqa: PLR0913 - the fields of the record
        self,
        prefix: bytes,
        outcome: Outcome,
        peer: bytes,
        headers: bytes,
        *,
        is_unknown: bool = False,
        rule_id: bytes = b"",
        variant: bytes = b"",
    ) -> None:
        """`peer`: 4 or 16 bytes, or none. `headers`: encoded. Call `flush` before the answer leaves."""
        self.scans[outcome] += 1
        at_ns = self._spool.now_ns()
        payload = encode_scan(prefix, at_ns, outcome, peer, headers, rule_id, variant)
        self._spool.append(payload, at_ns=at_ns, is_unknown=is_unknown)

    def record_ready(self, items: list[Item]) -> int:
        """The same for the scans of one tick whose answer was ready; they share the time. How many there were."""
        at_ns = self._spool.now_ns()
        payloads = pack_records(items, self.scans, lambda outcome: encode_moment(at_ns, outcome))
        if payloads:
            self._spool.append_all(payloads, at_ns=at_ns)
        return len(payloads)

    def flush(self) -> None:
        if not self._spool.flush():
            self._log_loss()

    def _log_loss(self) -> None:
        now = time.monotonic()
        if now - self._loss_logged_at >= LOSS_LOG_INTERVAL_S:
            self._loss_logged_at = now
            _log.error("scans_lost", lost=dict(self._spool.lost))


def ready_peer(peer: bytes) -> bytes:
    """As it stands in the record of a scan whose answer was ready: no rule was met."""
    return encode_peer(peer) + NOTHING_CHOSEN


def packed_address(text: str) -> bytes:
    """4 or 16 bytes; none for what is no address. A zone (`fe80::1%eth0`) is left out."""
    try:
        if ":" in text:
            return socket.inet_pton(socket.AF_INET6, text.partition("%")[0])
        return socket.inet_pton(socket.AF_INET, text)
    except OSError:
        return b""

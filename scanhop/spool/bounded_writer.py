"""The spool as an event loop uses it: a disk that stalls holds it up for at most MAX_WAIT_S, once.

A file operation cannot be given up: a write(2) to a frozen filesystem returns when it thaws. So a thread of its own
owns the SpoolWriter and does all that touches the disk; the loop hands it what one tick recorded and waits, since no
answer may leave before its scan is in the file. (That costs about 8 µs a tick; a tick under load carries dozens.)

When the thread does not come back in time the disk counts as stalled. What it was handed is still its to write, and
is counted as written or lost when it knows; what comes meanwhile is counted as lost at once, without waiting. The
first tick after it has come back is handed over as usual.
"""

import os
import select
import threading
import time
from collections import Counter
from collections.abc import Sequence

from scanhop.spool.segment import SpoolId
from scanhop.spool.usage import Backlog
from scanhop.spool.writer import LossReason, SpoolWriter
from scanhop.telemetry.logs import get_logger

MAX_WAIT_S = 0.25
SEAL_TICK_S = 0.05
BACKLOG_S = 1.0
CLOSE_WAIT_S = 5.0

_log = get_logger()
Group = tuple[int, Sequence[bytes], bool]  # the time of the records, the records, whether their codes are unknown


class _Signal:
    """Wakes one thread. By a descriptor: handing over by `threading`'s locks costs two or three times as much.

    Edge-triggered: what was sent since the last `wait` ends the next one, without a read in between.
    """

    def __init__(self) -> None:
        self._fd = os.eventfd(0, os.EFD_CLOEXEC)
        self._epoll = select.epoll(1)
        self._epoll.register(self._fd, select.EPOLLIN | select.EPOLLET)

    def send(self) -> None:
        os.eventfd_write(self._fd, 1)

    def wait(self, timeout_s: float) -> bool:
        return bool(self._epoll.poll(timeout_s, 1))

    def close(self) -> None:
        self._epoll.close()
        os.close(self._fd)


class BoundedWriter:
    """One for each worker, used from its event loop. It takes over `writer`, and closes it."""

    def __init__(self, writer: SpoolWriter) -> None:
        self._writer = writer
        self._groups: list[Group] = []
        self._stalled = 0
        self._is_stalled = False
        self._handed = _Signal()
        self._done = _Signal()
        self._work: Sequence[Group] | None = ()
        self._is_kept = True
        self._backlog = writer.read_backlog()
        self._backlog_read_at = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="spool-write", daemon=True)
        self._thread.start()

    @property
    def spool_id(self) -> SpoolId:
        return self._writer.spool_id

    @property
    def written_records(self) -> int:
        return self._writer.written_records

    @property
    def lost(self) -> Counter[LossReason]:
        """Records that are not in the spool, by reason."""
        return self._writer.lost + Counter({LossReason.DISK_STALLED: self._stalled})

    @property
    def faults(self) -> dict[str, int]:
        """Files that were given up, by the call that failed."""
        return {"fsync": self._writer.fsync_failures, "seal": self._writer.seal_failures}

    @property
    def backlog(self) -> Backlog:
        """What waits in the whole spool, as of the last look."""
        return self._backlog

    def now_ns(self) -> int:
        """The time for the next record."""
        return self._writer.clock.now_ns()

    def append(self, payload: bytes, *, at_ns: int, is_unknown: bool = False) -> None:
        self._groups.append((at_ns, (payload,), is_unknown))

    def append_all(self, payloads: Sequence[bytes], *, at_ns: int) -> None:
        """Of one moment, and of known codes."""
        self._groups.append((at_ns, payloads, False))

    def flush(self) -> bool:
        """Write what was appended. False: something of it was lost, or is not yet known to be written."""
        if not self._groups:
            return True
        groups, self._groups = self._groups, []
        if self._is_stalled and not self._done.wait(0):
            self._stalled += sum(len(payloads) for _, payloads, _ in groups)
            return False
        self._is_stalled = False
        self._work = groups
        self._handed.send()
        self._is_stalled = not self._done.wait(MAX_WAIT_S)
        if self._is_stalled:
            _log.error("spool_stalled", after_s=MAX_WAIT_S)
        return self._is_kept and not self._is_stalled

    def close(self) -> None:
        """Write, seal and give the directory up, unless the disk does not come back."""
        self.flush()
        self._work = None
        self._handed.send()
        self._thread.join(CLOSE_WAIT_S)
        if self._thread.is_alive():
            _log.error("spool_not_closed", after_s=CLOSE_WAIT_S)
            return
        self._handed.close()
        self._done.close()

    def _run(self) -> None:
        """The thread: nothing else touches the writer."""
        looked_at = time.monotonic()
        while True:
            if self._handed.wait(SEAL_TICK_S):
                groups = self._work
                if groups is None:
                    self._writer.close()
                    return
                self._is_kept = self._write(groups)
                self._done.send()
            if time.monotonic() - looked_at >= SEAL_TICK_S:  # also when ticks follow each other without a pause
                self._look_after()
                looked_at = time.monotonic()

    def _write(self, groups: Sequence[Group]) -> bool:
        writer, is_kept = self._writer, True
        for at_ns, payloads, is_unknown in groups:
            is_kept &= writer.append_all(payloads, at_ns=at_ns, is_unknown=is_unknown)
        is_kept &= writer.flush()
        writer.seal_if_full()
        return is_kept

    def _look_after(self) -> None:
        try:
            self._writer.seal_if_due()
            if time.monotonic() - self._backlog_read_at >= BACKLOG_S:
                self._backlog_read_at = time.monotonic()
                self._backlog = self._writer.read_backlog()
        except OSError as error:
            _log.error("spool_not_sealed", error=str(error))

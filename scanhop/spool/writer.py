"""The writing side: one SpoolWriter for each edge worker, used from one thread (its event loop).

`append` puts a record into the buffer of this loop tick; `flush` writes the buffer with one write(2). A second
thread of the writer's own only calls fdatasync, on the interval of the settings.
"""

import contextlib
import errno
import fcntl
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from uuid import UUID

from scanhop.spool.durable_file import make_directory_durably, sync_directory
from scanhop.spool.frame import FRAME_HEAD, MAX_PAYLOAD, encode_frame_head
from scanhop.spool.segment import (
    HEADER_SIZE,
    OPEN,
    SEALED,
    WRITER_LOCK,
    SegmentName,
    SpoolId,
    encode_header,
    list_segments,
)
from scanhop.spool.usage import Backlog, is_disk_low, read_backlog, spool_bytes
from scanhop.wire.ids import uuid7

UNKNOWN_SHARE = 10
USAGE_INTERVAL_NS = 1_000_000_000
CLOCK_TOLERANCE_NS = 1_000_000_000


class LossReason(StrEnum):
    """Why a scan is not in the spool. A closed list; the names stand in the metrics."""

    SPOOL_FULL = "spool_full"
    UNKNOWN_SHARE = "unknown_share"
    DISK_FULL = "disk_full"
    DISK_STALLED = "disk_stalled"
    WRITE_FAILED = "write_failed"
    TOO_LARGE = "too_large"


@dataclass(frozen=True)
class SpoolLimits:
    """`max_age_s` counts from a segment's first record and seals only while fewer than `max_waiting` wait."""

    max_bytes: int
    fsync_interval_s: float = 0.2
    max_records: int = 50_000
    max_segment_bytes: int = 16 << 20
    max_age_s: float = 0.5
    max_waiting: int = 8


def prepare_root(root: Path) -> None:
    """Make the root where it is missing, and try to write there. Raises OSError."""
    make_directory_durably(root, 0o700)
    probe = root / f".probe-{os.getpid()}"
    probe.touch(mode=0o600)
    probe.unlink()


class RecordClock:
    """Never earlier than it said last, unless it was set back by more than CLOCK_TOLERANCE_NS: one wrong jump ahead
    must not stamp all that follows."""

    def __init__(self, clock_ns: Callable[[], int]) -> None:
        self._clock_ns = clock_ns
        self._last_ns = 0

    def now_ns(self) -> int:
        now_ns = self._clock_ns()
        if now_ns > self._last_ns or now_ns < self._last_ns - CLOCK_TOLERANCE_NS:
            self._last_ns = now_ns
        return self._last_ns


class SpoolWriter:
    """Owns one spool directory from its creation to `close()`, or to the death of the process."""

    def __init__(self, root: Path, limits: SpoolLimits, clock_ns: Callable[[], int] = time.time_ns) -> None:
        """`root` exists. Raises OSError when a directory in it cannot be made or written."""
        self._root = root
        self._limits = limits
        self.clock = RecordClock(clock_ns)
        self.spool_id = SpoolId(uuid7(clock_ns()))
        self.lost: Counter[LossReason] = Counter()
        self.written_records = 0
        self.fsync_failures = 0
        self.seal_failures = 0
        self._lock_fd = _make_directory(root, self.spool_id)
        self._buffer: list[bytes] = []
        self._number = 0
        self._segment: _OpenSegment | None = None
        self._last_ns = 0
        self._room = 0
        self._unknown_room = 0
        self._is_disk_low = False
        self._usage_read_ns = 0
        self._admits_until_ns = 0
        self._owes_names = False
        self._unsealed: list[Path] = []
        self._syncer = _Syncer(root / str(self.spool_id), limits.fsync_interval_s)
        self._syncer.start()

    def read_backlog(self) -> Backlog:
        """What waits in the whole spool, this writer's and others'."""
        return read_backlog(self._root)

    def now_ns(self) -> int:
        """The time for the next record."""
        return self.clock.now_ns()

    def append(self, payload: bytes, *, at_ns: int, is_unknown: bool = False) -> bool:
        """Take a record for the next `flush`. False: it was counted as lost (see `lost`).

        On the path of every scan: whatever needs a look at the disk or the calendar is `_admit`'s.
        """
        length = len(payload)
        size = FRAME_HEAD.size + length
        segment = self._segment
        room = self._unknown_room if is_unknown else self._room
        is_in_time = self._last_ns <= at_ns < self._admits_until_ns
        if segment is None or size > room or length > MAX_PAYLOAD or not is_in_time:
            segment = self._admit(length, at_ns, is_unknown=is_unknown)
            if segment is None:
                return False
        self._last_ns = at_ns
        self._buffer.append(encode_frame_head(segment.next_number, payload))
        self._buffer.append(payload)
        segment.next_number += 1
        self._room -= size
        self._unknown_room -= size
        return True

    def append_all(self, payloads: Sequence[bytes], *, at_ns: int, is_unknown: bool = False) -> bool:
        """The same for many of one moment. False: at least one was counted as lost."""
        segment = self._segment
        size = sum(map(len, payloads)) + FRAME_HEAD.size * len(payloads)
        is_in_time = self._last_ns <= at_ns < self._admits_until_ns
        if is_unknown or segment is None or size > min(self._room, MAX_PAYLOAD) or not is_in_time:
            taken = [self.append(payload, at_ns=at_ns, is_unknown=is_unknown) for payload in payloads]
            return all(taken)
        number, buffer = segment.next_number, self._buffer
        for payload in payloads:
            buffer.append(encode_frame_head(number, payload))
            buffer.append(payload)
            number += 1
        segment.next_number = number
        self._last_ns = at_ns
        self._room -= size
        self._unknown_room -= size
        return True

    def _admit(self, length: int, at_ns: int, *, is_unknown: bool) -> "_OpenSegment | None":
        """The segment for a record of `length` bytes, or None: it was counted as lost."""
        if at_ns < self._last_ns:  # the clock was set back: within a segment time does not
            self.flush()
            self._seal()
            self._last_ns = self._usage_read_ns = 0
        if at_ns - self._usage_read_ns >= USAGE_INTERVAL_NS:
            self._read_usage(at_ns)
        reason = self._why_refuse(length, is_unknown=is_unknown)
        if reason is not None:
            self.lost[reason] += 1
            return None
        segment = self._segment_for(at_ns)
        if segment is not None:
            self._admits_until_ns = min(self._usage_read_ns + USAGE_INTERVAL_NS, segment.month_end_ns)
        return segment

    def _why_refuse(self, length: int, *, is_unknown: bool) -> LossReason | None:
        if length > MAX_PAYLOAD:
            return LossReason.TOO_LARGE
        if self._room < FRAME_HEAD.size + length:
            return LossReason.SPOOL_FULL
        if self._is_disk_low:
            return LossReason.DISK_FULL
        if is_unknown and self._unknown_room < 0:
            return LossReason.UNKNOWN_SHARE
        return None

    def flush(self) -> bool:
        """Write what was appended. False: the disk refused, and all of it was counted as lost."""
        if not self._buffer or self._segment is None:
            return True
        parts, self._buffer = self._buffer, []
        records = len(parts) // 2
        try:
            self._segment.write(b"".join(parts), records)
        except OSError as error:
            self.lost[_loss_reason(error)] += records
            self._abandon_segment()
            return False
        self.written_records += records
        if self._limits.fsync_interval_s == 0:
            self._sync_now(self._segment.fd)
        return True

    def seal_if_full(self) -> None:
        """Seal by count or size; called after each flush."""
        segment, limits = self._segment, self._limits
        if segment is None or self._buffer:
            return
        if segment.records >= limits.max_records or segment.size >= limits.max_segment_bytes:
            self._seal()

    def seal_if_due(self) -> None:
        """Seal by count, size or age; called on a timer, since it looks at the disk."""
        self._check_syncer()
        self._seal_again()
        self.seal_if_full()
        segment, limits = self._segment, self._limits
        if segment is None or self._buffer or segment.records == 0:
            return
        if segment.age_s() >= limits.max_age_s and self._waiting() < limits.max_waiting:
            self._seal()

    def close(self) -> None:
        """Write, seal and fsync everything, then give the directory up to ingest."""
        self.flush()
        self._seal()
        self._syncer.stop()
        os.close(self._lock_fd)

    def _segment_for(self, at_ns: int) -> "_OpenSegment | None":
        """The open segment, or a new one; None when the disk refuses a new one (counted as lost)."""
        if self._segment is not None and self._segment.month_begin_ns <= at_ns < self._segment.month_end_ns:
            return self._segment
        self.flush()
        self._seal()
        self._number += 1
        name = SegmentName(self.spool_id, self._number)
        try:
            self._segment = _OpenSegment(self._root, name, at_ns)
        except OSError as error:
            self.lost[_loss_reason(error)] += 1
            return None
        self._room -= HEADER_SIZE
        self._unknown_room -= HEADER_SIZE
        self._syncer.watch(self._segment.fd)
        self._owes_names = True
        return self._segment

    def _seal(self) -> None:
        """Rename; the syncer makes it durable and closes the file. An empty segment is removed."""
        segment, self._segment = self._segment, None
        if segment is None:
            return
        try:
            if segment.records == 0:
                segment.path.unlink(missing_ok=True)
            else:
                segment.path.rename(segment.path.with_suffix(SEALED))
        except OSError:
            self.seal_failures += 1
            self._unsealed.append(segment.path)
        self._syncer.retire(segment.fd)

    def _seal_again(self) -> None:
        """What could not be renamed waits for no reader otherwise: ingest seals for a dead writer only."""
        paths, self._unsealed = self._unsealed, []
        for path in paths:
            try:
                path.rename(path.with_suffix(SEALED))
            except FileNotFoundError:  # an operator removed it
                continue
            except OSError:
                self._unsealed.append(path)

    def _abandon_segment(self) -> None:
        """After a failed write: cut off what it left. The next record begins a new segment."""
        segment = self._segment
        if segment is None:
            return
        with contextlib.suppress(OSError):  # the reader skips a torn frame
            os.ftruncate(segment.fd, segment.size)
        self._seal()

    def _check_syncer(self) -> None:
        failed = self._syncer.take_failures()
        if failed:
            self.fsync_failures += failed
            self.flush()
            self._seal()

    def _sync_now(self, fd: int) -> None:
        """Within a flush: the records are in the file, whatever the disk says of it."""
        try:
            os.fdatasync(fd)
            if self._owes_names:
                sync_directory(self._root / str(self.spool_id))
                self._owes_names = False
        except OSError:
            self.fsync_failures += 1
            self._seal()

    def _waiting(self) -> int:
        """How many sealed segments wait. A directory that cannot be read now counts as one where many do."""
        try:
            return len(list_segments(self._root, self.spool_id, SEALED))
        except OSError:
            return self._limits.max_waiting

    def _read_usage(self, at_ns: int) -> None:
        """What may still be written; a segment that is begun needs room for its header too."""
        self._usage_read_ns = at_ns
        self._room = self._limits.max_bytes - spool_bytes(self._root) - self._buffered_bytes() - HEADER_SIZE
        waiting = self.read_backlog().bytes + self._buffered_bytes()
        self._unknown_room = self._limits.max_bytes // UNKNOWN_SHARE - waiting
        self._is_disk_low = is_disk_low(self._root)

    def _buffered_bytes(self) -> int:
        return sum(map(len, self._buffer))


class _OpenSegment:
    """The file that is appended to. `size` and `records` are what was written without error."""

    def __init__(self, root: Path, name: SegmentName, at_ns: int) -> None:
        self.path = name.path(root, OPEN)
        self.month_begin_ns, self.month_end_ns = _utc_month(at_ns)
        self.records = 0
        self.next_number = 0
        self._first_write_at = 0.0
        header = encode_header(name, at_ns)
        self.fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        try:
            _write_all(self.fd, header)
        except OSError:
            os.close(self.fd)
            self.path.unlink(missing_ok=True)
            raise
        self.size = len(header)

    def write(self, data: bytes, records: int) -> None:
        _write_all(self.fd, data)
        if self.records == 0:
            self._first_write_at = time.monotonic()
        self.size += len(data)
        self.records += records

    def age_s(self) -> float:
        return time.monotonic() - self._first_write_at


class _Syncer(threading.Thread):
    """Calls fdatasync on the watched file each interval, and on a retired one before it closes it.

    A new file's name is made durable with its first bytes: without it a power cut would take the whole file. A name
    that could not be is tried again until it is.
    """

    def __init__(self, directory: Path, interval_s: float) -> None:
        super().__init__(name="spool-sync", daemon=True)
        self._directory = directory
        self._has_new_name = False
        self._interval_s = interval_s
        self._state = threading.Condition()
        self._watched: int | None = None
        self._retired: list[int] = []
        self._failures = 0
        self._stopping = False

    def watch(self, fd: int) -> None:
        with self._state:
            self._watched = fd
            self._has_new_name = True

    def retire(self, fd: int) -> None:
        with self._state:
            if self._watched == fd:
                self._watched = None
            self._retired.append(fd)

    def take_failures(self) -> int:
        with self._state:
            failures, self._failures = self._failures, 0
            return failures

    def stop(self) -> None:
        with self._state:
            self._stopping = True
            self._state.notify()
        self.join()

    def run(self) -> None:
        stopping = False
        while not stopping:
            with self._state:
                self._state.wait_for(lambda: self._stopping, self._interval_s or 0.2)
                stopping = self._stopping
            self.sync()

    def sync(self) -> None:
        """What was written before this began is durable when it returns, unless it counts a failure."""
        with self._state:
            watched = self._duplicate_watched()
            retired, self._retired = self._retired, []
            has_new_name, self._has_new_name = self._has_new_name, False
        if has_new_name:
            self._sync_names()
        for fd in [*retired, *([] if watched is None else [watched])]:
            self._sync_and_close(fd)

    def _duplicate_watched(self) -> int | None:
        """A descriptor that the writer cannot close meanwhile. Without one to be had, that is a failed sync."""
        try:
            return None if self._watched is None else os.dup(self._watched)
        except OSError:
            self._failures += 1
            return None

    def _sync_names(self) -> None:
        try:
            sync_directory(self._directory)
        except OSError:
            with self._state:
                self._failures += 1
                self._has_new_name = True

    def _sync_and_close(self, fd: int) -> None:
        for call in (os.fdatasync, os.close):
            try:
                call(fd)
            except OSError:
                with self._state:
                    self._failures += 1


def _make_directory(root: Path, spool_id: UUID) -> int:
    """Make the directory under its final name with its lock held; returns the lock's descriptor."""
    hidden = root / f".{spool_id}.new"
    hidden.mkdir(mode=0o700)
    fd = os.open(hidden / WRITER_LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    hidden.rename(root / str(spool_id))
    sync_directory(root)
    return fd


def _write_all(fd: int, data: bytes) -> None:
    written = os.write(fd, data)
    while written < len(data):  # a short write: the next one tells why
        written += os.write(fd, data[written:])


def _loss_reason(error: OSError) -> LossReason:
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    return LossReason.DISK_FULL if full else LossReason.WRITE_FAILED


def _utc_month(at_ns: int) -> tuple[int, int]:
    """The month that the time lies in: from, to."""
    begin = datetime.fromtimestamp(at_ns // 1_000_000_000, UTC).replace(day=1, hour=0, minute=0, second=0)
    end = (begin + timedelta(days=31)).replace(day=1)
    return int(begin.timestamp()) * 1_000_000_000, int(end.timestamp()) * 1_000_000_000

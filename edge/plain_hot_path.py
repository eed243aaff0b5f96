"""The hot path in plain Python: for where `_hot_path.c` cannot be built, and what that is held to. See `hot_path`."""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from edge.ready_scan import Framing, HeaderBlock, Item, ReadyCode
from scanhop.wire.scan_record import Outcome, encode_header

MAX_FORWARDED = 1024

_CRLF = b"\r\n"
_FORWARDED_FOR = (b"\r\nX-Forwarded-For:", b"\r\nx-forwarded-for:")
_VALUE_BYTES = bytes(byte for byte in range(256) if byte == 9 or (byte > 31 and byte != 127))


class Memory(OrderedDict[bytes, Any]):
    """What was said of bytes, by those bytes. At its bound it forgets what it has known for longest."""

    find = OrderedDict.get

    def __init__(self, limit: int) -> None:
        super().__init__()
        self._limit = limit

    def store(self, key: bytes, value: object) -> None:
        """What is known already stays as long as it would have."""
        self[key] = value
        if len(self) > self._limit:
            self.popitem(last=False)

    def list_keys(self) -> list[bytes]:
        """Those known for longest first."""
        return list(self)


def find_forwarded(blocks: Memory, raw: bytes) -> HeaderBlock | None:
    """Behind a load balancer blocks differ in one line alone; what the others say may be remembered.

    Whatever follows the empty line is none of a block: then nothing is found.
    """
    for begin in _FORWARDED_FOR:
        start = raw.find(begin)
        if start >= 0:
            return _find_without(blocks, raw, start + 2, start + len(begin))
    for begin in _FORWARDED_FOR:
        if raw.startswith(begin[2:]):
            return _find_without(blocks, raw, 0, len(begin) - 2)
    return None


def _find_without(blocks: Memory, raw: bytes, start: int, value_start: int) -> HeaderBlock | None:
    """What the lines say beside the one that begins at `start`, and that one."""
    end = raw.find(_CRLF, value_start)
    others: HeaderBlock | None = blocks.find(raw[:start] + raw[end + 2 :])
    value = raw[value_start:end]
    is_behind_the_block = end < 0 or end > len(raw) - 4
    if others is None or is_behind_the_block or len(value) > MAX_FORWARDED:
        return None
    if value.translate(None, _VALUE_BYTES):
        return None
    return HeaderBlock(others.framing, others.scan_headers + encode_header(b"x-forwarded-for", value.strip(b" \t")))


class HotPath:
    """What the connections of one worker share. The owner keeps `now`, `idle_deadline`, `tail` and the flags."""

    def __init__(
        self,
        lines: Memory,
        blocks: Memory,
        custom_hosts: Mapping[bytes, object],
        look_soon: Callable[[], None],
    ) -> None:
        self.lines = lines
        self.blocks = blocks
        self.custom_hosts = custom_hosts
        self.items: list[Item] = []
        self.now = self.idle_deadline = 0.0
        self.tail = b""
        self.is_looking = self.is_draining = False
        self._look_soon = look_soon

    def append(self, item: Item) -> None:
        self.items.append(item)
        if not self.is_looking:
            self._look_soon()

    def take_items(self) -> list[Item]:
        """Those that wait; from now on there are none."""
        items, self.items = self.items, []
        return items


class HotConnection:
    """What a connection does with a request whose bytes were seen before.

    All else is `_receive`'s, and a scan that is the last of its connection `_take_last`'s.
    """

    def __init__(self, hot: HotPath) -> None:
        self._hot = hot
        self._transport: Any = None
        self._ready_peer = b""
        self._deadline = 0.0
        self._is_free = True

    def data_received(self, data: bytes) -> None:
        """Of a usual scan all is here: one whole request, whose line and headers were seen before."""
        if self._is_free:
            hot = self._hot
            line, end, raw = data.partition(_CRLF)
            found = hot.lines.find(line)
            if found is not None and end and hot.now < found.stale_at:
                block = hot.blocks.find(raw) or find_forwarded(hot.blocks, raw)
                if block is not None and self._take_usual(hot, found, *block):
                    return
        self._receive(data)

    def _take_usual(self, hot: HotPath, found: ReadyCode, framing: Framing, headers: bytes) -> bool:
        host, _, closes, _, is_usual = framing
        if not is_usual or host in hot.custom_hosts:
            return False
        if closes or hot.is_draining:
            self._take_last(found, headers)
        else:
            self._deadline = hot.idle_deadline
            hot.append((self._transport, found, self._ready_peer, headers, hot.tail))
        return True

    def _receive(self, data: bytes) -> None:
        raise NotImplementedError

    def _take_last(self, found: ReadyCode, headers: bytes) -> None:
        raise NotImplementedError


def pack_records(items: Sequence[Item], scans: list[int], encode_moment: Callable[[Outcome], bytes]) -> list[bytes]:
    """The records of the ready scans among `items`, which are counted in `scans` by the number of their outcome."""
    moment, of_outcome = b"", None  # most scans of a tick have the same
    payloads = []
    for _, found, peer, headers, _ in items:
        if found is None:
            continue
        outcome = found.outcome
        if outcome is not of_outcome:
            moment, of_outcome = encode_moment(outcome), outcome
        scans[outcome] += 1
        payloads.append(b"".join((found.prefix, moment, peer, headers)))
    return payloads


def write_answers(items: Sequence[Item]) -> None:
    """To each its own; where many scan one code, they share the bytes of its answer."""
    last, last_tail, ready = None, b"", b""
    for transport, found, data, _, tail in items:
        if found is None:
            ready, last = data, None
        elif found is not last or tail is not last_tail:
            ready, last, last_tail = b"".join((found.head, found.value, tail, found.body)), found, tail
        try:
            transport.write(ready)
        except RuntimeError:  # closed meanwhile: the others' answers leave all the same
            continue

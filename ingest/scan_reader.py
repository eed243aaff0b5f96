"""The records of a segment as columns, each part decoded once for all scans that share it.

A route's prefix, what was chosen and the headers of a browser repeat from scan to scan: what they decode to is
remembered by their bytes, within bounds. What proxies write differs from scan to scan; it is cut out and kept beside
the headers, so that those repeat behind a load balancer too.

A record that cannot be a row is rejected with its reason, and stops no other.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

import msgspec

from ingest.native_format import encode_string, encode_uuid
from scanhop.client_facts.bots import BotReason, asks_ahead
from scanhop.client_facts.device import CACHED_USER_AGENTS, Device
from scanhop.client_facts.geo import Place
from scanhop.wire.scan_record import (
    NOTHING_CHOSEN,
    BadRecord,
    decode_chosen,
    decode_headers,
    decode_route_prefix,
    split_headers,
    split_scan,
)

LATEST_NS = 2**62  # the year 2116: a clock beyond it is no clock
MAX_USER_AGENT = 1024
MAX_REFERER = 2048
REMEMBERED_ROUTES = 16_384
REMEMBERED_BYTES = 64 << 20  # of headers, as _cost() says
MAX_REMEMBERED_LENGTH = 400
_NS_PER_S = 1_000_000_000

Record = tuple[int, bytes]


class Rejection(StrEnum):
    """Why a record is no row. A closed list."""

    MALFORMED = "malformed"
    TIME_OUT_OF_RANGE = "time_out_of_range"
    ANOTHER_MONTH = "another_month"
    FAILED = "failed"


class Rejected(NamedTuple):
    """A record that is no row; `detail` says more of the reason."""

    number: int
    payload: bytes
    reason: Rejection
    detail: str


class RouteValues(msgspec.Struct, frozen=True, gc=False):
    """What a route's prefix says, as values of ClickHouse's Native format; the version is a number."""

    workspace_id: bytes
    qr_id: bytes
    user_id: bytes
    project_id: bytes
    domain_id: bytes
    short_code: bytes
    version: int


class UserAgent(msgspec.Struct, gc=False):
    """One User-Agent; `value` is of the Native format. The others are for enrichment to find once and remember."""

    sent: bytes
    value: bytes
    device: Device | None = None
    bot_reason: BotReason | None = None


class ClientHeaders(msgspec.Struct, gc=False):
    """What a client sent, without what proxies added; `referer_value` is of the Native format."""

    user_agent: UserAgent
    accept_language: bytes
    referer_value: bytes
    asks_ahead: bool


@dataclass(slots=True)
class Scans:
    """Columns of equal length: the n-th value of each is of the n-th scan. The lower ones are filled by enrichment.

    Peers and addresses are 4 or 16 bytes, or none. `forwarding`: the headers that proxies wrote, as in the record.
    """

    numbers: list[int] = field(default_factory=list)
    routes: list[RouteValues] = field(default_factory=list)
    times_ns: list[int] = field(default_factory=list)
    outcomes: list[int] = field(default_factory=list)
    peers: list[bytes] = field(default_factory=list)
    chosen: list[tuple[str, str]] = field(default_factory=list)
    headers: list[ClientHeaders] = field(default_factory=list)
    forwarding: list[bytes] = field(default_factory=list)

    addresses: list[bytes] = field(default_factory=list)
    places: list[Place] = field(default_factory=list)
    devices: list[Device] = field(default_factory=list)
    bot_reasons: list[BotReason] = field(default_factory=list)
    visitors: list[int] = field(default_factory=list)
    languages: list[str] = field(default_factory=list)
    ips: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.numbers)

    def apart(self) -> Iterator["Scans"]:
        """Each scan by itself, as it was read."""
        for number in range(len(self)):
            yield Scans(*(getattr(self, name)[number : number + 1] for name in _READ_COLUMNS))

    def extend(self, other: "Scans") -> None:
        for column in fields(self):
            getattr(self, column.name).extend(getattr(other, column.name))


_READ_COLUMNS = tuple(column.name for column in fields(Scans))[:8]


class ScanReader:
    """Reads records into columns."""

    def __init__(self) -> None:
        self._routes: dict[bytes, RouteValues] = {}
        self._read_chosen = lru_cache(REMEMBERED_ROUTES)(decode_chosen)
        self._read_user_agent = lru_cache(CACHED_USER_AGENTS)(_user_agent)
        self._headers: dict[bytes, ClientHeaders] = {}
        self._header_bytes = 0

    def read(self, records: Sequence[Record]) -> tuple[Scans, list[Rejected]]:
        """All of one month, the first one's: a batch is one partition."""
        rows: list[tuple[object, ...]] = []
        rejected: list[Rejected] = []
        known_routes, read_chosen, known_headers = self._routes, self._read_chosen, self._headers
        since_ns, until_ns = 1, LATEST_NS
        for number, payload in records:
            try:
                prefix, at_ns, outcome, peer, chosen, block = split_scan(payload)
                if not since_ns <= at_ns < until_ns:
                    rejected.append(Rejected(number, payload, *_wrong_time(at_ns)))
                    continue
                headers, forwarding = known_headers.get(block), b""
                if headers is None:
                    headers, forwarding = self._read_headers(block)
                route = known_routes.get(prefix) or self._read_route(prefix)
                rule_and_variant = _NO_CHOICE if chosen == NOTHING_CHOSEN else read_chosen(chosen)
                row = (number, route, at_ns, outcome, peer, rule_and_variant, headers, forwarding)
            except BadRecord as error:
                rejected.append(Rejected(number, payload, Rejection.MALFORMED, str(error)))
                continue
            if not rows:
                since_ns, until_ns = month_of(at_ns)
            rows.append(row)
        return Scans(*(list(column) for column in zip(*rows, strict=True))), rejected

    def _read_route(self, prefix: bytes) -> RouteValues:
        route = _route_values(prefix)
        if len(self._routes) >= REMEMBERED_ROUTES:
            self._routes.clear()
        self._routes[prefix] = route
        return route

    def _read_headers(self, block: bytes) -> tuple[ClientHeaders, bytes]:
        repeating, forwarding = split_headers(block)
        headers = self._headers.get(repeating)
        if headers is None:
            headers = self._client_headers(decode_headers(repeating))
            self._remember(repeating, headers)
        return headers, forwarding

    def _client_headers(self, sent: Mapping[bytes, bytes]) -> ClientHeaders:
        referer = sent.get(b"referer")
        return ClientHeaders(
            self._user_agent_of(sent.get(b"user-agent", b"")),
            sent.get(b"accept-language", b""),
            _text_value(referer, MAX_REFERER) if referer else _EMPTY,
            asks_ahead(sent),
        )

    def _user_agent_of(self, sent: bytes) -> UserAgent:
        return self._read_user_agent(sent) if len(sent) <= MAX_REMEMBERED_LENGTH else _user_agent(sent)

    def _remember(self, block: bytes, headers: ClientHeaders) -> None:
        """Not what is longer than any phone sends, nor what is no text and grew by being marked as such."""
        if max(len(block), len(headers.user_agent.value)) > MAX_REMEMBERED_LENGTH:
            return
        if self._header_bytes + _cost(block) > REMEMBERED_BYTES:
            self._headers.clear()
            self._header_bytes = 0
        self._headers[block] = headers
        self._header_bytes += _cost(block)


def _cost(block: bytes) -> int:
    """About the memory of one that is remembered: its bytes, its User-Agent's, that one's value, and the objects."""
    return 300 + 3 * len(block)


_NO_CHOICE = ("", "")
_EMPTY = encode_string(b"")


def _wrong_time(at_ns: int) -> tuple[Rejection, str]:
    if 0 < at_ns < LATEST_NS:
        return Rejection.ANOTHER_MONTH, "another month than the segment's first record"
    return Rejection.TIME_OUT_OF_RANGE, "the time is out of range"


def month_of(at_ns: int) -> tuple[int, int]:
    """The UTC month of that time: its first ns, and that of the next month or LATEST_NS."""
    first = datetime.fromtimestamp(at_ns // _NS_PER_S, UTC).replace(day=1, hour=0, minute=0, second=0)
    after = first.replace(year=first.year + first.month // 12, month=first.month % 12 + 1)
    return max(1, int(first.timestamp()) * _NS_PER_S), min(LATEST_NS, int(after.timestamp()) * _NS_PER_S)


def _route_values(prefix: bytes) -> RouteValues:
    route = decode_route_prefix(prefix)
    return RouteValues(
        encode_uuid(route.workspace_id),
        encode_uuid(route.qr_id),
        encode_uuid(route.user_id),
        encode_uuid(route.project_id),
        encode_uuid(route.domain_id),
        encode_string(route.code.encode()),
        route.version,
    )


def _user_agent(sent: bytes) -> UserAgent:
    return UserAgent(sent, _text_value(sent, MAX_USER_AGENT))


def _text_value(sent: bytes, limit: int) -> bytes:
    """As UTF-8, whatever bytes the client sent."""
    return encode_string(sent[:limit].decode("utf-8", "replace").encode())

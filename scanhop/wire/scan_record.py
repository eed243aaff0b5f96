"""One scan as it stands in the spool.

    prefix    workspace, qr, user, project, domain (16 bytes each), route version (u64), length of code (u8), code
    event     time in Unix ns (u64), outcome (u8), length of peer address (u8: 0, 4 or 16), peer address,
              length of rule id (u8), rule id, length of variant (u8), variant
    headers   any number of: header number (u8), length (u16), value

All numbers are little-endian. The prefix is built once per route; ingest needs nothing else to know whose scan it
is. The peer is the socket's; the forwarding headers stand beside it, and who the client was is worked out where
the record is read. Only the headers listed here are ever written: never cookies, never Authorization.
"""

import struct
from enum import IntEnum

import msgspec

from scanhop.wire.ids import ZERO_UUID
from scanhop.wire.route import Route

MAX_HEADER_VALUE = 2048
HEADERS = (
    b"user-agent",
    b"referer",
    b"accept-language",
    b"x-forwarded-for",
    b"forwarded",
    b"purpose",
    b"sec-purpose",
    b"x-purpose",
    b"x-moz",
)
HEADER_NUMBER = {name: number for number, name in enumerate(HEADERS, 1)}
_FORWARDING = (b"x-forwarded-for", b"forwarded")

_IDS = struct.Struct("<16s16s16s16s16sQB")
_EVENT = struct.Struct("<QBB")
_HEADER = struct.Struct("<BH")
NOTHING_CHOSEN = b"\0\0"


class Outcome(IntEnum):
    """What the phone was told. A closed list; the names are what ClickHouse stores."""

    REDIRECT = 1
    DELETED = 2
    BANNED = 3
    PAUSED = 4
    NOT_YET = 5
    EXPIRED = 6
    LIMIT = 7
    LOCKED = 8
    UNKNOWN = 9
    HEAD = 10

    @property
    def label(self) -> str:
        return self.name.lower()


class BadRecord(ValueError):
    """The bytes are no scan record of this format."""


class ScanRecord(msgspec.Struct, frozen=True, gc=False):
    """A record read back. Ids and the peer address are raw bytes; `headers` maps a name of HEADERS to its value."""

    workspace_id: bytes
    qr_id: bytes
    user_id: bytes
    project_id: bytes
    domain_id: bytes
    route_version: int
    code: str
    scanned_at_ns: int
    outcome: Outcome
    peer: bytes
    rule_id: str
    variant: str
    headers: dict[bytes, bytes]


def encode_route_prefix(route: Route) -> bytes:
    code = route.code.encode()
    return (
        _IDS.pack(
            route.workspace_id,
            route.qr_id,
            route.user_id,
            route.project_id,
            route.domain_id,
            route.version,
            len(code),
        )
        + code
    )


def encode_unknown_prefix(domain_id: bytes, code: str) -> bytes:
    """The prefix of a scan that met no code: zero ids, and the code as it was scanned."""
    zero, raw = ZERO_UUID.bytes, code.encode()
    return _IDS.pack(zero, zero, zero, zero, domain_id, 0, len(raw)) + raw


def encode_headers(headers: list[tuple[bytes, bytes]]) -> bytes:
    """The listed headers among `headers` (names in lower case), each value cut to MAX_HEADER_VALUE bytes."""
    return b"".join([encode_header(name, value) for name, value in headers if name in HEADER_NUMBER])


def encode_header(name: bytes, value: bytes) -> bytes:
    """One of the listed headers."""
    kept = value if len(value) <= MAX_HEADER_VALUE else _cut(name, value)
    return _HEADER.pack(HEADER_NUMBER[name], len(kept)) + kept


def _cut(name: bytes, value: bytes) -> bytes:
    """Of a forwarding header the right end stays, in whole elements: what stands left of it is anybody's claim."""
    if name in _FORWARDING:
        return value[-MAX_HEADER_VALUE:].partition(b",")[2]
    return value[:MAX_HEADER_VALUE]


def encode_scan(  # noqa: PLR0913 - the fields of the record
    prefix: bytes,
    scanned_at_ns: int,
    outcome: Outcome,
    peer: bytes,
    headers: bytes,
    rule_id: bytes = b"",
    variant: bytes = b"",
) -> bytes:
    chosen = NOTHING_CHOSEN
    if rule_id or variant:
        chosen = bytes((len(rule_id),)) + rule_id + bytes((len(variant),)) + variant
    return b"".join((prefix, encode_event(scanned_at_ns, outcome, len(peer)), peer, chosen, headers))


def encode_event(scanned_at_ns: int, outcome: Outcome, peer_length: int) -> bytes:
    """What stands between the prefix and the peer's address."""
    return _EVENT.pack(scanned_at_ns, outcome, peer_length)


def decode_scan(data: bytes) -> ScanRecord:
    """Raises BadRecord."""
    try:
        return _decode(data)
    except (struct.error, IndexError, ValueError) as error:
        raise BadRecord(str(error)) from error


def _decode(data: bytes) -> ScanRecord:
    workspace, qr, user, project, domain, version, code_length = _IDS.unpack_from(data)
    at = _IDS.size
    code, at = _take(data, at, code_length)
    scanned_at_ns, outcome, peer_length = _EVENT.unpack_from(data, at)
    peer, at = _take(data, at + _EVENT.size, peer_length)
    if peer_length not in (0, 4, 16):
        raise BadRecord(f"a peer address of {peer_length} bytes")
    rule_id, at = _take(data, at + 1, data[at])
    variant, at = _take(data, at + 1, data[at])
    return ScanRecord(
        workspace,
        qr,
        user,
        project,
        domain,
        version,
        code.decode(),
        scanned_at_ns,
        Outcome(outcome),
        peer,
        rule_id.decode(),
        variant.decode(),
        decode_headers(data, at),
    )


def decode_headers(data: bytes, at: int = 0) -> dict[bytes, bytes]:
    """What `encode_headers` wrote, from `at` to the end; a header that stood there twice is joined by a comma."""
    headers: dict[bytes, bytes] = {}
    while at < len(data):
        number, length = _HEADER.unpack_from(data, at)
        value, at = _take(data, at + _HEADER.size, length)
        name = HEADERS[number - 1] if 0 < number <= len(HEADERS) else None
        if name is not None:  # a newer edge may write headers that this version does not know
            headers[name] = headers[name] + b", " + value if name in headers else value
    return headers


def _take(data: bytes, at: int, length: int) -> tuple[bytes, int]:
    end = at + length
    if end > len(data):
        raise BadRecord("the record ends early")
    return data[at:end], end

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
_FORWARDING_NUMBERS = frozenset(HEADER_NUMBER[name] for name in _FORWARDING)

_IDS = struct.Struct("<16s16s16s16s16sQB")
_CODE_LENGTH = struct.Struct("<88xB")
_EVENT = struct.Struct("<QBB")
_MOMENT = struct.Struct("<QB")
_HEADER = struct.Struct("<BH")
NOTHING_CHOSEN = b"\0\0"
_PEER_LENGTHS = (4, 16, 0)


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


OUTCOMES = {outcome.value: outcome for outcome in Outcome}


class BadRecord(ValueError):
    """The bytes are no scan record of this format."""


class RoutePrefix(msgspec.Struct, frozen=True, gc=False):
    """Whose scan it is. Ids are raw bytes."""

    workspace_id: bytes
    qr_id: bytes
    user_id: bytes
    project_id: bytes
    domain_id: bytes
    version: int
    code: str


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
    return b"".join((prefix, encode_moment(scanned_at_ns, outcome), encode_peer(peer), chosen, headers))


def encode_moment(scanned_at_ns: int, outcome: Outcome) -> bytes:
    """What stands between the prefix and the peer."""
    return _MOMENT.pack(scanned_at_ns, outcome)


def encode_peer(peer: bytes) -> bytes:
    return bytes((len(peer),)) + peer


def decode_scan(data: bytes) -> ScanRecord:
    """Raises BadRecord."""
    prefix, scanned_at_ns, outcome, peer, chosen, headers = split_scan(data)
    route = decode_route_prefix(prefix)
    rule_id, variant = decode_chosen(chosen)
    return ScanRecord(
        route.workspace_id,
        route.qr_id,
        route.user_id,
        route.project_id,
        route.domain_id,
        route.version,
        route.code,
        scanned_at_ns,
        OUTCOMES[outcome],
        peer,
        rule_id,
        variant,
        decode_headers(headers),
    )


def split_scan(data: bytes) -> tuple[bytes, int, int, bytes, bytes, bytes]:
    """Prefix, time, a number in OUTCOMES, peer, what was chosen, headers. Raises BadRecord.

    Prefix, choice and headers are as they stand, to be decoded by the functions below: they repeat from scan to scan,
    and who reads many may remember them by their bytes.
    """
    try:
        event_at = _IDS.size + _CODE_LENGTH.unpack_from(data)[0]
        scanned_at_ns, outcome, peer_length = _EVENT.unpack_from(data, event_at)
        peer_at = event_at + _EVENT.size
        chosen_at = peer_at + peer_length
        variant_at = chosen_at + 1 + data[chosen_at]
        headers_at = variant_at + 1 + data[variant_at]
    except (struct.error, IndexError) as error:
        raise BadRecord(str(error)) from error
    if headers_at > len(data):
        raise BadRecord("the record ends early")
    if outcome not in OUTCOMES or peer_length not in _PEER_LENGTHS:
        raise BadRecord(f"outcome {outcome}, a peer address of {peer_length} bytes")
    return (
        data[:event_at],
        scanned_at_ns,
        outcome,
        data[peer_at:chosen_at],
        data[chosen_at:headers_at],
        data[headers_at:],
    )


def decode_route_prefix(prefix: bytes) -> RoutePrefix:
    """Raises BadRecord."""
    try:
        workspace, qr, user, project, domain, version, _ = _IDS.unpack_from(prefix)
        return RoutePrefix(workspace, qr, user, project, domain, version, prefix[_IDS.size :].decode())
    except (struct.error, ValueError) as error:
        raise BadRecord(str(error)) from error


def decode_chosen(chosen: bytes) -> tuple[str, str]:
    """Rule id and variant. Raises BadRecord."""
    variant_at = 1 + chosen[0]
    try:
        return chosen[1:variant_at].decode(), chosen[variant_at + 1 :].decode()
    except ValueError as error:
        raise BadRecord(str(error)) from error


def split_headers(data: bytes) -> tuple[bytes, bytes]:
    """The headers that repeat from scan to scan, and those that proxies write, which do not. Raises BadRecord."""
    repeating, forwarding, at = b"", b"", 0
    for number, value_at, end in _walk_headers(data):
        if number in _FORWARDING_NUMBERS:
            begin = value_at - _HEADER.size
            repeating += data[at:begin]
            forwarding += data[begin:end]
            at = end
    return repeating + data[at:], forwarding


def decode_headers(data: bytes) -> dict[bytes, bytes]:
    """What `encode_headers` wrote; a header that stood there twice is joined by a comma. Raises BadRecord."""
    headers: dict[bytes, bytes] = {}
    for number, value_at, end in _walk_headers(data):
        name = HEADERS[number - 1] if 0 < number <= len(HEADERS) else None
        if name is not None:  # a newer edge may write headers that this version does not know
            value = data[value_at:end]
            headers[name] = headers[name] + b", " + value if name in headers else value
    return headers


def _walk_headers(data: bytes) -> list[tuple[int, int, int]]:
    """Of each its number, where its value begins and where it ends."""
    found, end, size = [], 0, len(data)
    try:
        while end < size:
            number, length = _HEADER.unpack_from(data, end)
            value_at = end + _HEADER.size
            end = value_at + length
            found.append((number, value_at, end))
    except struct.error as error:
        raise BadRecord(str(error)) from error
    if end > size:
        raise BadRecord("the record ends early")
    return found

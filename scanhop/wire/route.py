"""The compiled route of one code, and its bytes.

Bytes: format version (u8), route version (u64, big-endian), then the fields as one MessagePack array. The two
leading numbers stand outside the array so that Redis can compare versions in Lua without decoding. New fields are
appended with a default: an older reader ignores them, a newer reader fills them in. The format version moves only
when that is not enough; a reader that does not know it treats the bytes as absent. The bytes of equal routes are
equal, whoever wrote them. A kind of condition that a reader does not know never matches.
"""

import struct
from enum import IntEnum

import msgspec

FORMAT = 1
_HEAD = struct.Struct(">BQ")


class Status(IntEnum):
    """What the owner, or the platform, says of a code."""

    ACTIVE = 1
    PAUSED = 2
    ARCHIVED = 3
    DELETED = 4
    BANNED = 5


class Kind(IntEnum):
    """What a condition looks at."""

    DEVICE = 1
    OS = 2
    BROWSER = 3
    LANGUAGE = 4
    COUNTRY = 5
    REGION = 6
    CITY = 7
    IP = 8
    QUERY = 9
    QUERY_KEY = 10
    DATE = 11
    WEEKDAY = 12
    HOUR = 13
    SCANS = 14


NO_LIMIT = 2**63 - 1


class Condition(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One look at a fact; which of the fields it uses depends on `kind`.

    `texts`: what the fact may be, case-folded (of QUERY: as it is; of LANGUAGE: ranges). `low` <= fact < `high`: of
    DATE Unix nanoseconds, of HOUR minutes of the day (low > high: over midnight), of SCANS a number. Networks are
    (address, mask), of IPv6 (upper half, lower half, upper mask, lower mask): MessagePack has no longer numbers.
    """

    kind: int
    is_negated: bool = False
    texts: frozenset[str] = frozenset()
    key: str = ""
    timezone: str = ""
    low: int = -NO_LIMIT
    high: int = NO_LIMIT
    networks_v4: tuple[tuple[int, int], ...] = ()
    networks_v6: tuple[tuple[int, int, int, int], ...] = ()


class Variant(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One of the targets that scans are divided among, by weight."""

    name: str
    weight: int
    target_url: str


class Rule(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Where scans go that meet every condition: to one target, or to one of the variants where there are any."""

    id: str
    when: tuple[Condition, ...]
    target_url: str = ""
    variants: tuple[Variant, ...] = ()


class Route(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Everything the edge needs to answer a scan of one code. Ids are 16 bytes, zero where there is none.

    `opens_at_ns` and `closes_at_ns` are Unix nanoseconds: the code redirects in [opens, closes).
    """

    domain_id: bytes
    code: str
    workspace_id: bytes
    qr_id: bytes
    user_id: bytes
    project_id: bytes
    version: int
    status: Status
    target_url: str
    fallback_url: str | None = None
    redirect_status: int = 302
    opens_at_ns: int | None = None
    closes_at_ns: int | None = None
    banned_for_legal_reason: bool = False
    rules: tuple[Rule, ...] = ()
    forward_query: bool = False
    pinned_query: tuple[str, ...] = ()
    max_scans: int | None = None
    password_hash: str | None = None


_encoder = msgspec.msgpack.Encoder(order="deterministic")
_decoder = msgspec.msgpack.Decoder(Route)


def encode_route(route: Route) -> bytes:
    return _HEAD.pack(FORMAT, route.version) + _encoder.encode(route)


def decode_route(data: bytes) -> Route | None:
    """None when the bytes are of another format version, or damaged: look the route up at its source."""
    if len(data) <= _HEAD.size or data[0] != FORMAT:
        return None
    try:
        return _decoder.decode(memoryview(data)[_HEAD.size :])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None

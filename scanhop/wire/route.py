"""The compiled route of one code, and its bytes.

Bytes: format version (u8), route version (u64, big-endian), then the fields as one MessagePack array. The two
leading numbers stand outside the array so that Redis can compare versions in Lua without decoding. New fields are
appended with a default: an older reader ignores them, a newer reader fills them in. The format version moves only
when that is not enough; a reader that does not know it treats the bytes as absent.
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


_encoder = msgspec.msgpack.Encoder()
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

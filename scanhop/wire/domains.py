"""The custom domains that scans may come in on, and their bytes.

Bytes: format version (u8), version of the set (u64, big-endian), then the domains as one MessagePack array. The two
leading numbers stand outside the array, as those of a route do, so that Redis can compare versions in Lua. New
fields are appended with a default; a reader that does not know the format treats the bytes as absent.
"""

import struct
from collections.abc import Sequence

import msgspec

FORMAT = 1
_HEAD = struct.Struct(">BQ")


class Domain(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A verified domain. `host` is ASCII in lower case; `is_exact`: the letter case of its codes counts."""

    id: bytes
    host: str
    is_exact: bool = False
    not_found_url: str | None = None


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[Domain])


def encode_domains(domains: Sequence[Domain], version: int = 0) -> bytes:
    """`version` grows with every change of the set; 0 gives way to any other."""
    return _HEAD.pack(FORMAT, version) + _encoder.encode(domains)


def decode_domains(data: bytes) -> list[Domain] | None:
    """None when the bytes are of another format version, or damaged: look the domains up at their source."""
    if len(data) <= _HEAD.size or data[0] != FORMAT:
        return None
    try:
        return _decoder.decode(memoryview(data)[_HEAD.size :])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None

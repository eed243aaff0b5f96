"""Which scan a row is: the same row is the same scan, in whichever file it comes again."""

from hashlib import blake2b, sha256
from uuid import UUID

import msgspec

from ingest.csv_import.normalise import CsvScan

_CODE = ("short_code", "qr_id")
_NOTHING = ("", None)
_encode = msgspec.msgpack.Encoder().encode


def digest_of(source: str, qr_id: bytes, scan: CsvScan) -> bytes:
    """Of the source and what the row says; the code counts as what it stands for, not as how the file names it.

    By name, and without what it does not say: a column more in a later version leaves these identities as they are.
    """
    said = [each for each in msgspec.structs.asdict(scan).items() if each[0] not in _CODE and each[1] not in _NOTHING]
    return blake2b(_encode((source, qr_id, sorted(said))), digest_size=16).digest()


def event_id(digest: bytes, number: int) -> bytes:
    """Of the `number`-th row of a file with that digest, counted from 1: a UUIDv8 (RFC 9562)."""
    return uuid8(digest + number.to_bytes(8))


def batch_id(event_ids: bytes, generation: int) -> UUID:
    """Of a batch of these rows. `generation`: how often the same rows were accepted and deleted again before."""
    return UUID(bytes=uuid8(event_ids + generation.to_bytes(8)))


def uuid8(content: bytes) -> bytes:
    digest = bytearray(sha256(content).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x80
    digest[8] = digest[8] & 0x3F | 0x80
    return bytes(digest)

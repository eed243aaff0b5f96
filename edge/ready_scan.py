"""What the hot path is handed: shapes that its two versions, in C and in Python, read alike."""

from typing import Any, NamedTuple, Protocol

from scanhop.wire.scan_record import Outcome


class Framing(NamedTuple):
    """What the header lines say of the request itself.

    `host`: lower case, without port; None where none was sent. `body_length`: bytes announced; None: of unknown
    length. `closes`: the client wants the connection closed. `is_usual`: with HTTP/1.1, nothing needs a second look.
    """

    host: bytes | None
    body_length: int | None
    closes: bool
    expects_continue: bool
    is_usual: bool


class HeaderBlock(NamedTuple):
    """`scan_headers`: those that belong into the scan's record, encoded."""

    framing: Framing
    scan_headers: bytes


class ReadyCode(Protocol):
    """A code whose answer is everybody's; see `CachedRoute`."""

    stale_at: float
    prefix: bytes
    outcome: Outcome
    head: bytes
    value: bytes
    body: bytes


# A scan whose answer was ready: (transport, code, ready peer, headers, rest of the answer's head). Anything else that
# is to be sent, recorded already or no scan: (transport, None, bytes, b"", b"").
Item = tuple[Any, ReadyCode | None, bytes, bytes, bytes]

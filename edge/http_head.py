"""The head of an HTTP/1 request (RFC 9112): what is taken, what is turned away, and what was read of it before.

Owns the one reading of a head: whoever answers, the protocol class or the application behind it, is handed what
stands here, so that no two parsers can disagree. A head is the request line and the block of header lines behind it.

Turned away, with a status and the end of the connection (RFC 9112 and 9110 sections in brackets):
- a request line that is not `method SP target SP HTTP/1.0 or 1.1` in visible ASCII [3]; any other version [2.3];
- a target that is not a path, an absolute http address, or the `*` of OPTIONS [3.2]; one longer than MAX_URL: 414;
- a header line that is not `name: value`: no colon, space before it, a folded line, a bare CR or LF, NUL or another
  control character [5, 2.2];
- no Host in HTTP/1.1, two of them, or one that is no host [3.2];
- Content-Length that is no number, or two that differ; Transfer-Encoding beside Content-Length [6.1, 6.3];
- Transfer-Encoding at all: 411, no body here is of unknown length; on GET and HEAD 400, as any body is;
- a head longer than MAX_HEAD or with more than MAX_HEADERS lines: 431.
Taken: one empty line before the request line [2.2]; header names in any case and order; a fragment behind the target
(cut off); an absolute target (its authority is the host) [3.2.2].

What a header block says is remembered by its bytes, and so is what a single line says: phones of one kind send the
same lines again and again. The memories are bounded. Lines that forward an address differ for every phone and are
never remembered, nor is a block that held a line seen for the first time; a block that is new in its X-Forwarded-For
alone is remembered without it.
"""

import re

import msgspec

from edge.bounded_map import BoundedMap
from edge.hot_path import Memory, find_forwarded
from edge.ready_scan import Framing, HeaderBlock
from scanhop.wire.scan_record import HEADER_NUMBER, encode_header

MAX_URL = 8 * 1024
MAX_REQUEST_LINE = MAX_URL + 64
MAX_HEAD = 32 * 1024
MAX_HEADERS = 100
MAX_BLOCKS = 4096
MAX_REMEMBERED_BLOCK = 4096
MAX_LINES = 16_384
MAX_FRAMINGS = 4096
MAX_REMEMBERED_LINE = 1024

_REQUEST_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}) ([!-~]+) HTTP/1\.([01])")
_HEADER_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*)")
_ABSOLUTE = re.compile(rb"https?://([^/?#]+)([^#]*)", re.IGNORECASE)
_HOST = re.compile(rb"([A-Za-z0-9._~%!$&'()*+,;=-]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]*)?")
_BARE_LF = re.compile(rb"(?<!\r)\n")
_FORWARDING = (b"x-forwarded-for", b"forwarded")
_FRAMING = (b"host", b"connection", b"content-length", b"transfer-encoding", b"expect")


class BadHead(Exception):
    """The request is answered with `status`, and its connection closed."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class RequestLine(msgspec.Struct, frozen=True, gc=False):
    """`path` and `query` as they were sent, without the question mark. `host` only of an absolute target."""

    method: bytes
    path: bytes
    query: bytes
    is_http_10: bool
    host: bytes | None = None


class HeadReader:
    """One per worker: it holds the memories. `blocks` is for reading: the hot path looks into it by itself."""

    def __init__(self) -> None:
        self.blocks = Memory(MAX_BLOCKS)
        self._lines: BoundedMap[bytes, _Line] = BoundedMap(MAX_LINES)
        self._framings: BoundedMap[bytes, Framing] = BoundedMap(MAX_FRAMINGS)

    def read_block(self, raw: bytes) -> HeaderBlock:
        """`raw`: the header lines and the empty line behind them. Raises BadHead."""
        return self.blocks.find(raw) or find_forwarded(self.blocks, raw) or self._read_lines(raw)

    def _read_lines(self, raw: bytes) -> HeaderBlock:
        if len(raw) > MAX_HEAD:
            raise BadHead(431, "the head is too long")
        lines = _split_lines(raw)
        if len(lines) > MAX_HEADERS:
            raise BadHead(431, "too many headers")
        remembered = self._lines.entries
        known = [remembered.get(line) for line in lines]
        read = [said or self._read_line(line) for said, line in zip(known, lines, strict=True)]
        framing = self._read_framing([said for said in read if said.name in _FRAMING])
        block = HeaderBlock(framing, b"".join([said.encoded for said in read]))
        if len(raw) <= MAX_REMEMBERED_BLOCK and len(lines) < MAX_HEADERS:
            self._remember(raw, lines, known, block)
        return block

    def _remember(self, raw: bytes, lines: list[bytes], known: "list[_Line | None]", block: HeaderBlock) -> None:
        """What was repeated whole, or whole but for one line that forwards an address."""
        new = [line for line, said in zip(lines, known, strict=True) if said is None]
        if not new:
            self.blocks.store(raw, block)
        elif len(new) == 1 and new[0].partition(b":")[0].lower() == b"x-forwarded-for":
            others = b"".join([line + b"\r\n" for line in lines if line is not new[0]]) + b"\r\n"
            headers = b"".join([said.encoded for said in known if said is not None])
            self.blocks.store(others, HeaderBlock(block.framing, headers))

    def _read_line(self, line: bytes) -> "_Line":
        match = _HEADER_LINE.fullmatch(line)
        if match is None:
            raise BadHead(400, "a header line is malformed")
        name, value = match[1].lower(), match[2].rstrip(b" \t")
        said = _Line(name, value, encode_header(name, value) if name in HEADER_NUMBER else b"")
        if len(line) <= MAX_REMEMBERED_LINE and name not in _FORWARDING:
            self._lines.store(line, said)
        return said

    def _read_framing(self, lines: "list[_Line]") -> Framing:
        """Remembered by the lines' bytes: most heads hold one of a few hosts."""
        key = b"\n".join([line.name + b":" + line.value for line in lines])
        framing = self._framings.find(key)
        if framing is None:
            framing = _framing_from(lines)
            self._framings.store(key, framing)
        return framing


class _Line(msgspec.Struct, frozen=True, gc=False):
    """`encoded`: as it stands in the scan's record; empty for what does not belong there."""

    name: bytes
    value: bytes
    encoded: bytes


def _framing_from(lines: list[_Line]) -> Framing:
    """Raises BadHead."""
    host = _parse_host(_values(lines, b"host"))
    connection = {token.strip() for value in _values(lines, b"connection") for token in value.lower().split(b",")}
    expectation = _values(lines, b"expect")
    length = _body_length(lines)
    return Framing(
        host=host,
        body_length=length,
        closes=b"close" in connection,
        expects_continue=expectation[:1] == [b"100-continue"],
        is_usual=host is not None and length == 0,
    )


def _parse_host(values: list[bytes]) -> bytes | None:
    if len(values) > 1:
        raise BadHead(400, "more than one Host")
    return host_name(values[0]) if values else None


def host_name(authority: bytes) -> bytes:
    """The host of `host[:port]`, in lower case, without the root's dot. Raises BadHead."""
    match = _HOST.fullmatch(authority)
    if match is None:
        raise BadHead(400, "the Host is none")
    return match[1].lower().rstrip(b".")


def _body_length(lines: list[_Line]) -> int | None:
    lengths = set(_values(lines, b"content-length"))
    if _values(lines, b"transfer-encoding"):
        if lengths:
            raise BadHead(400, "Transfer-Encoding beside Content-Length")
        return None
    if not lengths:
        return 0
    value = lengths.pop()
    if lengths or not value.isdigit() or len(value) > 18:
        raise BadHead(400, "Content-Length is no number, or two")
    return int(value)


def _values(lines: list[_Line], name: bytes) -> list[bytes]:
    return [line.value for line in lines if line.name == name]


def parse_request_line(line: bytes) -> RequestLine:
    """Raises BadHead."""
    if len(line) > MAX_REQUEST_LINE:
        raise BadHead(414, "the URL is too long")
    match = _REQUEST_LINE.fullmatch(line)
    if match is None:
        raise BadHead(400, "the request line is malformed")
    method, target, minor = match.groups()
    if len(target) > MAX_URL:
        raise BadHead(414, "the URL is too long")
    host = None
    if not target.startswith(b"/") and not (target == b"*" and method == b"OPTIONS"):
        host, target = _split_absolute(target)
    path, _, query = target.partition(b"#")[0].partition(b"?")
    return RequestLine(method, path or b"/", query, minor == b"0", host)


def _split_absolute(target: bytes) -> tuple[bytes, bytes]:
    match = _ABSOLUTE.match(target)
    if match is None:
        raise BadHead(400, "the target is neither a path nor an address")
    return host_name(match[1]), match[2]


def check_framing(line: RequestLine, framing: Framing) -> None:
    """What request line and headers say together. Raises BadHead."""
    if framing.host is None and not line.is_http_10:
        raise BadHead(400, "no Host")
    if line.method in (b"GET", b"HEAD") and framing.body_length != 0:
        raise BadHead(400, "a body on GET or HEAD")
    if framing.body_length is None:
        raise BadHead(411, "a body of unknown length")


def check_unfinished(data: bytes) -> None:
    """What can be said of a head whose end has not come yet. Raises BadHead."""
    end = data.find(b"\r\n")
    if end > MAX_REQUEST_LINE or (end < 0 and len(data) > MAX_REQUEST_LINE):
        raise BadHead(414, "the URL is too long")
    if len(data) > MAX_HEAD:
        raise BadHead(431, "the head is too long")
    if _BARE_LF.search(data) is not None:
        raise BadHead(400, "a line ends without CR")


def _split_lines(raw: bytes) -> list[bytes]:
    return raw[:-4].split(b"\r\n") if len(raw) > 2 else []


def parse_headers(raw: bytes) -> list[tuple[bytes, bytes]]:
    """Of a block that was read without error: names in lower case, as ASGI wants them."""
    pairs = []
    for line in _split_lines(raw):
        name, _, value = line.partition(b":")
        pairs.append((name.lower(), value.strip(b" \t")))
    return pairs

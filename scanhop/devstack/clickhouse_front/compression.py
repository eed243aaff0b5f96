"""Content encodings of request and response bodies.

Invariant: a request body may be several compressed streams one after the other (clickhouse-connect compresses each
block by itself) and all of them are read; a body that ends inside a stream is refused, not cut short.

Brotli is refused: its streams cannot be told apart, and clickhouse-connect does not send it unless told to.
"""

import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import lz4.frame  # type: ignore[import-untyped]

from scanhop.devstack.clickhouse_front.failure import CANNOT_DECOMPRESS, UNKNOWN_COMPRESSION, refusal

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

PIECE = 1 << 20
_GZIP = 31
_ZLIB = 15


class _StreamReader(Protocol):
    """One compressed stream; the shape of the standard library's decompressors."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes | None: ...
    def decompress(self, data: bytes, max_length: int = -1, /) -> bytes: ...


class _ZlibReader:
    def __init__(self, window_bits: int) -> None:
        self._reader = zlib.decompressobj(wbits=window_bits)
        self.needs_input = True

    @property
    def eof(self) -> bool:
        return self._reader.eof

    @property
    def unused_data(self) -> bytes:
        return self._reader.unused_data

    def decompress(self, data: bytes, max_length: int = -1, /) -> bytes:
        piece = self._reader.decompress(self._reader.unconsumed_tail + data, max_length)
        self.needs_input = len(piece) < max_length
        return piece


class BodyDecompressor:
    """Feed it chunks, take plain pieces of at most `PIECE` bytes, then call `finish`."""

    def __init__(self, new_stream: Callable[[], _StreamReader]) -> None:
        self._new_stream = new_stream
        self._stream: _StreamReader | None = None

    def feed(self, data: bytes) -> Iterator[bytes]:
        try:
            yield from self._pieces(data)
        except (zlib.error, zstd.ZstdError, RuntimeError, EOFError) as error:
            raise refusal(CANNOT_DECOMPRESS, "CANNOT_DECOMPRESS", f"Cannot decompress the body: {error}") from error

    def finish(self) -> None:
        if self._stream is not None:
            raise refusal(
                CANNOT_DECOMPRESS, "CANNOT_DECOMPRESS", "The compressed body ends in the middle of a stream"
            )

    def _pieces(self, data: bytes) -> Iterator[bytes]:
        while data or self._stream is not None:
            if self._stream is None:
                self._stream = self._new_stream()
            piece = self._stream.decompress(data, PIECE)
            data = b""
            if piece:
                yield piece
            if self._stream.eof:
                data = self._stream.unused_data or b""
                self._stream = None
            elif self._stream.needs_input:
                return


class _Identity:
    def feed(self, data: bytes) -> Iterator[bytes]:
        yield data

    def finish(self) -> None: ...


_READERS: dict[str, Callable[[], _StreamReader]] = {
    "lz4": lz4.frame.LZ4FrameDecompressor,
    "zstd": zstd.ZstdDecompressor,
    "gzip": lambda: _ZlibReader(_GZIP),
    "deflate": lambda: _ZlibReader(_ZLIB),
}


def decompressor_for(encoding: str) -> BodyDecompressor | _Identity:
    """Raises QueryFailed for an encoding the front does not know."""
    if encoding in ("", "identity"):
        return _Identity()
    if encoding not in _READERS:
        raise refusal(UNKNOWN_COMPRESSION, "UNKNOWN_COMPRESSION_METHOD", f"Unknown Content-Encoding {encoding!r}")
    return BodyDecompressor(_READERS[encoding])


class ResponseCompressor(Protocol):
    def compress(self, data: bytes, /) -> bytes: ...
    def flush(self) -> bytes: ...


class _Lz4Writer:
    """One frame for the whole response, each chunk readable when it arrives."""

    def __init__(self) -> None:
        self._frame = lz4.frame.LZ4FrameCompressor(auto_flush=True)
        self._begun = False

    def compress(self, data: bytes, /) -> bytes:
        start = b"" if self._begun else bytes(self._frame.begin())
        self._begun = True
        return start + bytes(self._frame.compress(data))

    def flush(self) -> bytes:
        return self.compress(b"") + bytes(self._frame.flush())


_WRITERS: dict[str, Callable[[], ResponseCompressor]] = {
    "lz4": _Lz4Writer,
    "zstd": lambda: zstd.ZstdCompressor(level=1),
    "gzip": lambda: zlib.compressobj(1, wbits=_GZIP),
    "deflate": lambda: zlib.compressobj(1, wbits=_ZLIB),
}


def choose_response_encoding(accepted: Sequence[str]) -> str | None:
    """The first encoding of the client's list that we can write."""
    return next((encoding for encoding in accepted if encoding in _WRITERS), None)


def compressor_for(encoding: str) -> ResponseCompressor:
    return _WRITERS[encoding]()

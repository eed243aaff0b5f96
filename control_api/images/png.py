"""PNG with a palette of two colours, one bit a pixel.

A module is a whole number of pixels. What is left of a wanted size goes to the quiet zone, evenly.
"""

import zlib
from struct import pack

from control_api.design import Rgb
from control_api.images.symbol import Modules

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_HEAD = ">2I5B"
_PALETTE = 3
_AS_IT_IS, _AS_ABOVE = b"\0", b"\2"


def encode_png(  # noqa: PLR0913 - the measures and colours
    modules: Modules, *, side: int, scale: int, ink: Rgb, paper: Rgb, is_transparent: bool
) -> bytes:
    """`side`: of the image, `scale`: of a module, in pixels."""
    left = (side - len(modules) * scale) // 2
    stride = (side + 7) // 8
    blank = _AS_IT_IS + bytes(stride)
    again = (_AS_ABOVE + bytes(stride)) * (scale - 1)
    lines = [blank * left]
    for row in modules:
        bits = "".join(("1" if module else "0") * scale for module in row)
        padded = f"{'0' * left}{bits}".ljust(stride * 8, "0")
        lines += (_AS_IT_IS, int(padded, 2).to_bytes(stride, "big"), again)
    lines.append(blank * (side - left - len(modules) * scale))
    chunks = [
        _chunk(b"IHDR", pack(_HEAD, side, side, 1, _PALETTE, 0, 0, 0)),
        _chunk(b"PLTE", bytes(paper + ink)),
        _chunk(b"tRNS", b"\0") if is_transparent else b"",
        _chunk(b"IDAT", zlib.compress(b"".join(lines))),
        _chunk(b"IEND", b""),
    ]
    return _SIGNATURE + b"".join(chunks)


def _chunk(name: bytes, data: bytes) -> bytes:
    return pack(">I", len(data)) + name + data + pack(">I", zlib.crc32(name + data))

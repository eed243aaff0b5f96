"""The symbol of a short URL: of the forms that lead to the same code, the one with the fewest modules.

A QR symbol spends 8 bits on a byte and 5.5 on a character of its alphanumeric mode, which knows upper-case letters
only. The edge answers `/R/CODE` in any letter case, so `HTTPS://HOST/R/CODE` leads where `https://host/r/code` does,
mostly in a smaller symbol. Where the case of a code counts, or it has a `_`, scheme and host alone go into upper
case, as a segment of their own. Where nothing is gained the URL stays as people read it.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import segno

from control_api.images.model import ShortUrl

Modules = Sequence[bytes]
"""Rows from top to bottom, a byte for each module: 1 dark, 0 light. Without a quiet zone."""


def draw_symbol(url: ShortUrl, error_correction: str) -> Modules:
    """`error_correction` (L, M, Q, H) is the least: where the symbol has room for more, it has more."""
    form = min(_forms(url), key=lambda segments: _version(segments, error_correction))
    return [bytes(row) for row in _make(form, error=error_correction).matrix]


def _forms(url: ShortUrl) -> Iterator[list[str]]:
    """Each as segments, the most readable first."""
    yield [url.origin + url.path]
    yield [url.origin.upper(), url.path]
    if url.folds:
        yield [(url.origin + url.path).upper()]


def _version(segments: list[str], error_correction: str) -> int:
    """A given mask saves the trial of all eight, which is most of the work."""
    return int(_make(segments, error=error_correction, mask=0, boost_error=False).version)


def _make(segments: list[str], **options: Any) -> segno.QRCode:
    """segno takes a list, each item in the best mode of its own; its types do not say so."""
    return segno.make(segments, micro=False, **options)  # type: ignore[arg-type]

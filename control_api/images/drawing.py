"""An image from a short URL, a design and a format: a pure function, in bytes that never differ between two calls."""

import hashlib
import zlib
from dataclasses import dataclass

import segno

from control_api.design import MAX_SIDE, MIN_PIXELS, Design, UnusableDesign, require_contrast
from control_api.images.model import ImageFormat, ShortUrl
from control_api.images.outline import trace_outlines
from control_api.images.png import encode_png
from control_api.images.symbol import Modules, draw_symbol
from control_api.images.vector import Picture, encode_eps, encode_pdf, encode_svg

EDITION = 1
"""To be raised by whoever changes what is drawn: clients keep images by the entity tag."""

_ENCODERS = {ImageFormat.SVG: encode_svg, ImageFormat.PDF: encode_pdf, ImageFormat.EPS: encode_eps}


@dataclass(frozen=True)
class Drawing:
    """All that decides the bytes of an image, but for the programs that make them."""

    url: ShortUrl
    design: Design
    format: ImageFormat

    @property
    def etag(self) -> str:
        """Strong, and known before anything is drawn: from all of the drawing and the versions of the programs."""
        programs = (EDITION, segno.__version__, zlib.ZLIB_RUNTIME_VERSION)
        return f'"{hashlib.sha256(repr((self, programs)).encode()).hexdigest()[:32]}"'


def draw(drawing: Drawing) -> bytes:
    """Some milliseconds of CPU: call it in a thread. Raises UnusableDesign."""
    design = drawing.design
    require_contrast(design)
    modules = draw_symbol(drawing.url, design.error_correction)
    across = len(modules) + 2 * design.margin
    side = _side(drawing, across)
    if drawing.format is ImageFormat.PNG:
        return encode_png(
            modules,
            side=side,
            scale=side // across,
            ink=design.ink,
            paper=design.paper,
            is_transparent=design.is_transparent,
        )
    return _ENCODERS[drawing.format](_picture(modules, design, side, across))


def _side(drawing: Drawing, across: int) -> int:
    """Of an image that is `across` modules wide, in pixels or points."""
    size, scale = drawing.design.size, drawing.design.scale
    side = scale * across if size is None else size
    name, unit = ("scale", across) if size is None else ("size", 1)
    smallest = across * MIN_PIXELS if drawing.format is ImageFormat.PNG else 1
    if side > MAX_SIDE:
        raise UnusableDesign(name, f"must be at most {MAX_SIDE // unit}: this image is {across} modules wide")
    if side < smallest:
        raise UnusableDesign(name, f"must be at least {smallest // unit}: scanners need {MIN_PIXELS} pixels a module")
    return side


def _picture(modules: Modules, design: Design, side: int, across: int) -> Picture:
    margin = design.margin
    outlines = [[(x + margin, y + margin) for x, y in outline] for outline in trace_outlines(modules)]
    return Picture(outlines, side, across, design.ink, None if design.is_transparent else design.paper)

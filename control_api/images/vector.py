"""SVG, PDF and EPS: the outlines as one path on a square of the background, if any. No dates, no ids, no fonts."""

import zlib
from collections.abc import Iterable
from dataclasses import dataclass

from control_api.design import Rgb
from control_api.images.outline import Outline


@dataclass(frozen=True)
class Picture:
    """`side`: of the whole image in pixels or points; `modules`: the same, in modules. `paper` None: transparent.

    The outlines are in modules, the quiet zone included.
    """

    outlines: list[Outline]
    side: int
    modules: int
    ink: Rgb
    paper: Rgb | None


def encode_svg(picture: Picture) -> bytes:
    modules = picture.modules
    paper = "" if picture.paper is None else f'<path fill="{_hex(picture.paper)}" d="M0 0h{modules}v{modules}H0z"/>'
    path = "".join(_svg_outline(outline) for outline in picture.outlines)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{picture.side}" height="{picture.side}" '
        f'viewBox="0 0 {modules} {modules}">{paper}'
        f'<path fill="{_hex(picture.ink)}" fill-rule="evenodd" d="{path}"/></svg>\n'
    ).encode()


def encode_pdf(picture: Picture) -> bytes:
    """One page of `side` points, in DeviceRGB."""
    side = picture.side
    content = "".join(
        [
            "" if picture.paper is None else f"{_shares(picture.paper)} rg\n0 0 {side} {side} re\nf\n",
            f"{_shares(picture.ink)} rg\n{_unit(picture)} 0 0 -{_unit(picture)} 0 {side} cm\n",
            *_path(picture.outlines, "m", "l", "h"),
            "f*\n",
        ]
    )
    stream = zlib.compress(content.encode())
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        f"<</Type/Page/Parent 2 0 R/MediaBox[0 0 {side} {side}]/Resources<<>>/Contents 4 0 R>>".encode(),
        f"<</Length {len(stream)}/Filter/FlateDecode>>\nstream\n".encode() + stream + b"\nendstream",
    ]
    return _pdf_file(objects)


def encode_eps(picture: Picture) -> bytes:
    """A bounding box of `side` points; nothing is written outside of it."""
    side = picture.side
    lines = [
        "%!PS-Adobe-3.0 EPSF-3.0\n",
        f"%%BoundingBox: 0 0 {side} {side}\n%%LanguageLevel: 2\n%%Pages: 1\n%%EndComments\n",
        "gsave 3 dict begin\n/m{moveto}bind def/l{lineto}bind def/h{closepath}bind def\n",
        "" if picture.paper is None else f"{_shares(picture.paper)} setrgbcolor 0 0 {side} {side} rectfill\n",
        f"{_shares(picture.ink)} setrgbcolor 0 {side} translate {_unit(picture)} -{_unit(picture)} scale\nnewpath\n",
        *_path(picture.outlines, "m", "l", "h"),
        "eofill\nend grestore\nshowpage\n%%EOF\n",
    ]
    return "".join(lines).encode()


def _pdf_file(objects: list[bytes]) -> bytes:
    """The objects, numbered from 1, with the table of where each begins. The first is the catalog."""
    file = bytearray(b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n")
    places = []
    for number, each in enumerate(objects, start=1):
        places.append(len(file))
        file += b"%d 0 obj\n%s\nendobj\n" % (number, each)
    table = len(file)
    file += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    file += b"".join(b"%010d 00000 n \n" % place for place in places)
    file += b"trailer\n<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, table)
    return bytes(file)


def _svg_outline(outline: Outline) -> str:
    """Sides are level or upright, in turn, but for the first and last, which may be one."""
    (x, y), *others = outline
    steps = [f"M{x} {y}"]
    for next_x, next_y in others:
        steps.append(f"h{next_x - x}" if next_y == y else f"v{next_y - y}")
        x, y = next_x, next_y
    return "".join(steps) + "z"


def _path(outlines: list[Outline], move: str, line: str, close: str) -> Iterable[str]:
    for (x, y), *others in outlines:
        yield f"{x} {y} {move}\n"
        for next_x, next_y in others:
            yield f"{next_x} {next_y} {line}\n"
        yield f"{close}\n"


def _unit(picture: Picture) -> str:
    return _number(picture.side / picture.modules)


def _shares(color: Rgb) -> str:
    return " ".join(_number(channel / 255) for channel in color)


def _number(value: float) -> str:
    """Neither PDF nor PostScript can read what Python makes of small floats."""
    return f"{value:.6f}".rstrip("0").rstrip(".")


def _hex(color: Rgb) -> str:
    return "#" + bytes(color).hex()

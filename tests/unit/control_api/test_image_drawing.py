"""Images are read by two decoders, in every format, size and colour that is drawn."""

import hashlib
import random
import re
import zlib
from collections import Counter
from dataclasses import replace

import cv2
import numpy as np
import pypdfium2
import pytest
import resvg_py
from hypothesis import given, settings
from hypothesis import strategies as st

from control_api.design import Design, UnusableDesign, require_contrast
from control_api.images.drawing import EDITION, Drawing, draw
from control_api.images.model import ImageFormat, ShortUrl
from control_api.images.outline import trace_outlines
from control_api.images.symbol import draw_symbol
from scanhop.wire.short_codes import ALPHABET
from tests.decoders import Pixels, all_read, pixels_of, read_by_all

MENU = ShortUrl("https://qr.example.com", "/r/k7x2m9p", folds=True)
MENU_PRINTED = "HTTPS://QR.EXAMPLE.COM/R/K7X2M9P"
EXACT = ShortUrl("https://go.example.com", "/Summer_Sale-2026", folds=False)
LONG = ShortUrl(f"https://{'long-label.' * 10}example.com", f"/{'x' * 63}", folds=True)
CORNER = re.compile(r"^(\d+) (\d+) [ml]$", re.MULTILINE)
BYTES_OF_EDITION = "cf46c808904ca682cd9b23eb056a87d1b49da46d8e413b06115cfed5f12bf432"
COLORS = st.integers(0, 0xFFFFFF).map(lambda number: f"#{number:06x}")


def draw_as(image_format: ImageFormat, url: ShortUrl = MENU, **options: object) -> bytes:
    return draw(Drawing(url, replace(Design(), **options), image_format))


def draw_png(url: ShortUrl = MENU, **options: object) -> Pixels:
    return pixels_of(draw_as(ImageFormat.PNG, url, **options))


def rasterise_svg(svg: bytes) -> Pixels:
    return pixels_of(bytes(resvg_py.svg_to_bytes(svg_string=svg.decode(), skip_system_fonts=True)))


def rasterise_pdf(pdf: bytes) -> Pixels:
    document = pypdfium2.PdfDocument(pdf)
    try:
        assert len(document) == 1
        return np.array(document[0].render(scale=1).to_numpy()[:, :, :3])
    finally:
        document.close()


def rasterise_eps(eps: bytes) -> Pixels:
    """Of PostScript as much as the file has: its own three words for a path, on paper of one colour."""
    text = eps.decode("ascii")
    side = int(re.search(r"^%%BoundingBox: 0 0 (\d+) \1$", text, re.MULTILINE)[1])
    *_, ink = re.findall(r"^(\S+) (\S+) (\S+) setrgbcolor", text, re.MULTILINE)
    unit = float(re.search(rf"0 {side} translate (\S+) -\1 scale", text)[1])
    outlines = [
        [
            [round(float(x) * unit), round(float(y) * unit)]
            for x, y in re.findall(r"^(\d+) (\d+) [ml]$", part, re.MULTILINE)
        ]
        for part in text.partition("newpath\n")[2].split("h\n")[:-1]
    ]
    pixels = np.full((side, side, 3), 255, np.uint8)
    color = [round(float(share) * 255) for share in reversed(ink)]
    return cv2.fillPoly(pixels, [np.array(outline, np.int32) for outline in outlines], color)


RASTERISERS = {
    ImageFormat.PNG: pixels_of,
    ImageFormat.SVG: rasterise_svg,
    ImageFormat.PDF: rasterise_pdf,
    ImageFormat.EPS: rasterise_eps,
}


@pytest.mark.parametrize("image_format", ImageFormat)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"scale": 3},
        {"size": 500, "margin": 2},
        {"foreground": "#7a1f3d"},
        {"background": "transparent"},
    ],
    ids=str,
)
def test_two_decoders_read_every_format(image_format, options):
    pixels = RASTERISERS[image_format](draw_as(image_format, **options))
    assert read_by_all(pixels) == all_read(MENU_PRINTED)


@pytest.mark.parametrize("scale", [2, 3, 5, 16])
def test_two_decoders_read_every_scale(scale):
    pixels = draw_png(scale=scale)
    assert pixels.shape == ((25 + 8) * scale, (25 + 8) * scale, 3)
    assert read_by_all(pixels) == all_read(MENU_PRINTED)


@pytest.mark.parametrize("size", [66, 100, 299, 1000])
def test_a_png_is_as_large_as_was_asked(size):
    pixels = draw_png(size=size)
    assert pixels.shape[:2] == (size, size)
    assert read_by_all(pixels) == all_read(MENU_PRINTED)


@pytest.mark.parametrize("error_correction", "LMQH")
@pytest.mark.parametrize(
    ("url", "printed"),
    [
        (MENU, MENU_PRINTED),
        (LONG, f"HTTPS://{'LONG-LABEL.' * 10}EXAMPLE.COM/{'X' * 63}"),
    ],
    ids=["short", "long"],
)
def test_two_decoders_read_every_error_correction(url, printed, error_correction):
    read = read_by_all(draw_png(url, error_correction=error_correction, scale=4))
    assert {name: text and text.upper() for name, text in read.items()} == all_read(printed)


@pytest.mark.parametrize("error_correction", "LMQH")
def test_two_decoders_read_a_code_whose_case_counts(error_correction):
    read = read_by_all(draw_png(EXACT, error_correction=error_correction, scale=4))
    assert {name: text and text.partition("/Summer")[1:] for name, text in read.items()} == all_read(
        ("/Summer", "_Sale-2026")
    )


@settings(max_examples=25)
@given(
    code=st.text(ALPHABET, min_size=7, max_size=7) | st.from_regex(r"[a-z0-9][a-z0-9_-]{0,40}", fullmatch=True),
    host=st.from_regex(r"[a-z]{1,12}(\.[a-z]{2,12}){1,3}(:[1-9][0-9]{3})?", fullmatch=True),
    error_correction=st.sampled_from("LMQH"),
    scale=st.integers(3, 8),
    margin=st.integers(2, 6),
    colors=st.tuples(COLORS, COLORS | st.just("transparent")),
)
def test_what_is_not_refused_is_read(code, host, error_correction, scale, margin, colors):
    url = ShortUrl(f"https://{host}", f"/r/{code}", folds=True)
    design = Design(*colors, margin=margin, error_correction=error_correction, scale=scale)
    try:
        require_contrast(design)
    except UnusableDesign:
        design = replace(design, foreground="#000000", background="#ffffff")
    read = read_by_all(pixels_of(draw(Drawing(url, design, ImageFormat.PNG))))
    printed = f"https://{host}/r/{code}".upper()
    assert (read["zxing-cpp"] or "").upper() == printed
    assert (read["OpenCV"] or printed).upper() == printed  # of some hundred it misses one


def test_two_decoders_read_codes_in_all_colours_that_are_not_refused():
    chance, missed = random.Random(2026), Counter()
    for _ in range(40):
        design = _readable_design(chance)
        url = replace(MENU, path=f"/r/{''.join(chance.choices(ALPHABET, k=chance.randint(1, 20)))}")
        for name, text in read_by_all(pixels_of(draw(Drawing(url, design, ImageFormat.PNG)))).items():
            missed[name] += (text or "").upper() != (url.origin + url.path).upper()
    assert missed["zxing-cpp"] == 0
    assert missed["OpenCV"] <= 1


def _readable_design(chance: random.Random) -> Design:
    while True:
        colors = (f"#{chance.randrange(1 << 24):06x}" for _ in range(2))
        design = Design(*colors, chance.randint(2, 6), chance.choice("LMQH"), chance.randint(3, 8))
        try:
            require_contrast(design)
        except UnusableDesign:
            continue
        return design


@pytest.mark.parametrize("page", [0, 128, 255])
def test_the_smallest_quiet_zone_is_enough_on_any_page(page):
    pixels = np.pad(draw_png(margin=2, scale=4), ((50, 50), (50, 50), (0, 0)), constant_values=page)
    assert read_by_all(pixels) == all_read(MENU_PRINTED)


def test_a_transparent_background_lets_the_page_through():
    svg, pdf, eps, png = (
        draw_as(each, background="transparent")
        for each in (ImageFormat.SVG, ImageFormat.PDF, ImageFormat.EPS, ImageFormat.PNG)
    )
    opacity = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)[:, :, 3]
    assert set(np.unique(opacity)) == {0, 255}
    assert opacity[0, 0] == 0
    assert svg.count(b"<path") == 1
    assert b"rectfill" not in eps
    assert b"re\nf\n" not in zlib.decompress(pdf.partition(b"stream\n")[2].partition(b"\nendstream")[0])


def test_the_colours_are_those_that_were_asked():
    for image_format in (ImageFormat.PNG, ImageFormat.SVG, ImageFormat.PDF):
        pixels = RASTERISERS[image_format](draw_as(image_format, foreground="#102030", background="#fff0c8"))
        assert pixels[0, 0].tolist() == [0xC8, 0xF0, 0xFF], image_format
        assert pixels[45, 45].tolist() == [0x30, 0x20, 0x10], image_format
    assert b"0.062745 0.12549 0.188235 setrgbcolor" in draw_as(ImageFormat.EPS, foreground="#102030")


def test_vectors_have_no_hairlines_between_modules():
    """At a scale where edges fall between pixels, the inside of a finder pattern is still of one colour."""
    pixels = rasterise_svg(draw_as(ImageFormat.SVG, size=333))
    unit = 333 / 33
    core = pixels[round(6.2 * unit) : round(8.8 * unit), round(6.2 * unit) : round(8.8 * unit)]
    assert not core.any()


@pytest.mark.parametrize("image_format", ImageFormat)
def test_the_same_drawing_is_the_same_bytes(image_format):
    assert draw_as(image_format) == draw_as(image_format)


def test_a_change_of_what_is_drawn_needs_a_new_edition():
    """Clients keep images by an entity tag that knows the edition, not the bytes. If this fails, raise EDITION."""
    pdf, png = draw_as(ImageFormat.PDF), draw_as(ImageFormat.PNG)
    drawn = b"".join(
        [
            draw_as(ImageFormat.SVG),
            draw_as(ImageFormat.EPS),
            zlib.decompress(pdf.partition(b"stream\n")[2].partition(b"\nendstream")[0]),
            pixels_of(png).tobytes(),
        ]
    )
    assert (EDITION, hashlib.sha256(drawn).hexdigest()) == (1, BYTES_OF_EDITION)


def test_the_etag_tells_all_that_decides_the_bytes():
    drawings = [
        Drawing(MENU, Design(), ImageFormat.PNG),
        Drawing(MENU, Design(), ImageFormat.SVG),
        Drawing(EXACT, Design(), ImageFormat.PNG),
        Drawing(replace(MENU, folds=False), Design(), ImageFormat.PNG),
        *(
            Drawing(MENU, replace(Design(), **{name: value}), ImageFormat.PNG)
            for name, value in {
                "foreground": "#000001",
                "background": "transparent",
                "margin": 5,
                "error_correction": "H",
                "scale": 11,
                "size": 330,
            }.items()
        ),
    ]
    assert len({each.etag for each in drawings}) == len(drawings)
    assert all(re.fullmatch(r'"[0-9a-f]{32}"', each.etag) for each in drawings)


@pytest.mark.parametrize(
    ("options", "name", "reason"),
    [
        ({"size": 65}, "size", "at least 66"),
        ({"scale": 1}, "scale", "at least 2"),
        ({"scale": 64, "margin": 16, "error_correction": "H"}, "scale", "at most"),
        ({"foreground": "#aaaaaa"}, "foreground", "2.32:1, too low"),
    ],
)
def test_what_cannot_be_drawn_is_refused(options, name, reason):
    url = LONG if name == "scale" else MENU
    with pytest.raises(UnusableDesign, match=reason) as refused:
        draw_as(ImageFormat.PNG, url, **options)
    assert refused.value.name == name


@settings(max_examples=30)
@given(st.lists(st.lists(st.booleans(), min_size=7, max_size=7), min_size=7, max_size=7))
def test_outlines_filled_by_the_even_odd_rule_are_the_modules(rows):
    modules = [bytes(row) for row in rows]
    outlines = trace_outlines(modules)
    filled = [bytes(sum(_is_left_of(x, y, outline) for outline in outlines) % 2 for x in range(7)) for y in range(7)]
    assert filled == modules


def _is_left_of(x: int, y: int, outline: list[tuple[int, int]]) -> int:
    """How many upright sides of the outline a ray from the module's middle to the right crosses."""
    sides = zip(outline, [*outline[1:], outline[0]], strict=True)
    return sum(a[0] == b[0] and a[0] > x and min(a[1], b[1]) <= y < max(a[1], b[1]) for a, b in sides)


def test_a_pdf_is_one_page_with_a_right_table():
    pdf = draw_as(ImageFormat.PDF, size=400)
    assert b"/MediaBox[0 0 400 400]" in pdf
    table = int(pdf.rpartition(b"startxref\n")[2].split()[0])
    assert pdf[table:].startswith(b"xref\n0 5\n")
    places = [int(line.split()[0]) for line in pdf[table:].splitlines()[3:7]]
    assert [pdf[place : place + 7] for place in places] == [b"%d 0 obj" % number for number in range(1, 5)]


def test_an_eps_keeps_to_its_box_and_its_lines_are_short():
    eps = draw_as(ImageFormat.EPS, LONG, size=400)
    assert eps.startswith(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 400 400\n")
    assert eps.endswith(b"%%EOF\n")
    assert max(map(len, eps.splitlines())) < 255


def test_a_large_image_is_a_small_file():
    assert len(draw_as(ImageFormat.PNG, LONG, size=4096, error_correction="H")) < 200_000


def test_micro_symbols_are_never_drawn():
    assert len(draw_symbol(ShortUrl("", "/a", folds=True), "L")) == 21

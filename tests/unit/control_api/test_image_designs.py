"""Which designs are drawn, and which are refused and why."""

import pytest

from control_api.design import Design, UnusableDesign, check_design, contrast_between, parse_design, require_contrast
from control_api.images.drawing import Drawing
from control_api.images.media_ranges import find_format
from control_api.images.model import ImageFormat, PrintedCode, ShortUrl
from control_api.images.schemas import file_name

WHITE, BLACK = (255, 255, 255), (0, 0, 0)


def test_the_contrast_is_that_of_wcag():
    assert contrast_between(BLACK, WHITE) == contrast_between(WHITE, BLACK) == pytest.approx(21)
    assert contrast_between((0x77, 0x77, 0x77), WHITE) == pytest.approx(4.48, abs=0.005)
    assert contrast_between((255, 0, 0), WHITE) == pytest.approx(4.00, abs=0.005)


@pytest.mark.parametrize(
    ("foreground", "background", "reason"),
    [
        ("#000000", "#ffffff", None),
        ("#949494", "#ffffff", None),
        ("#959595", "#ffffff", r"2\.99:1, too low"),
        ("#ffff00", "#ffffff", r"1\.07:1, too low"),
        ("#ffffff", "#000000", r"21\.00:1, but is light on dark"),
        ("#00ff00", "#0000ff", "light on dark"),
        ("#123456", "#123456", r"1\.00:1"),
        ("#ffffff", "transparent", r"on transparent has a contrast of 1\.00:1"),
        ("#004488", "transparent", None),
    ],
)
def test_a_symbol_that_scanners_cannot_read_is_refused(foreground, background, reason):
    design = Design(foreground, background)
    if reason is None:
        require_contrast(design)
        return
    with pytest.raises(UnusableDesign, match=reason) as refused:
        require_contrast(design)
    assert refused.value.name == "foreground"


def test_what_is_asked_goes_before_what_is_stored():
    stored = parse_design({"foreground": "#004488", "margin": 6, "size": 600, "logo": {"of": "a later version"}})
    assert stored == Design(foreground="#004488", margin=6, size=600)
    assert stored.with_asked({"margin": 2, "foreground": None}) == Design(foreground="#004488", margin=2, size=600)
    assert stored.with_asked({"scale": 3}) == Design(foreground="#004488", margin=6, scale=3)


def test_size_and_scale_are_not_asked_together():
    with pytest.raises(UnusableDesign, match="together"):
        Design().with_asked({"size": 300, "scale": 3})


@pytest.mark.parametrize(
    "stored",
    [
        {"foreground": "red"},
        {"foreground": "#fff"},
        {"foreground": "#000000\n"},
        {"foreground": '#000000"/><script>'},
        {"foreground": "transparent"},
        {"background": None},
        {"margin": 1},
        {"margin": "4"},
        {"margin": 4.5},
        {"error_correction": "X"},
        {"scale": 0},
        {"size": 100_000},
    ],
    ids=str,
)
def test_a_design_with_other_values_is_refused(stored):
    with pytest.raises(UnusableDesign, match="of the code") as refused:
        parse_design(stored)
    assert refused.value.name == "design"


def test_a_design_is_checked_before_it_is_stored():
    good = {"foreground": "#004488", "frame": "of a later version"}
    assert check_design(good) is good
    for bad in ({"foreground": "#eeeeee"}, {"margin": 0}):
        with pytest.raises(UnusableDesign):
            check_design(bad)


@pytest.mark.parametrize(
    ("accept", "found"),
    [
        ("", "svg"),
        ("*/*", "svg"),
        ("image/png", "png"),
        ("image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8", "svg"),
        ("image/*;q=0.5, application/pdf", "pdf"),
        ("image/svg+xml;q=0, image/*", "png"),
        ("APPLICATION/PostScript", "eps"),
        ("*/*;q=0.1, image/png; q=0.2", "png"),
        ("text/html, image/png;q=0.001", "png"),
        ("text/html", None),
        ("image/png;q=0", None),
        ("image/png;q=x", None),
        ("image/png;q=nan", None),
        (";;,,q=1", None),
    ],
)
def test_the_format_is_what_accept_wants_most(accept, found):
    assert find_format(accept) == found


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Menu", "Menu-k7x2m9p.png"),
        ("Café «Zur Post» / Karte", "Cafe-Zur-Post-Karte-k7x2m9p.png"),
        ('../../etc/passwd"\u202egnp', "etc-passwd-gnp-k7x2m9p.png"),
        ("メニュー", "k7x2m9p.png"),
        ("x" * 200, f"{'x' * 60}-k7x2m9p.png"),
    ],
)
def test_a_file_name_is_harmless(name, expected):
    code = PrintedCode("k7x2m9p", name, None, False, {})
    drawing = Drawing(ShortUrl("https://q.eu", "/r/k7x2m9p", folds=True), Design(), ImageFormat.PNG)
    assert file_name(code, drawing) == expected

"""How a symbol looks, and what of that a scanner can read. What codes store as their `design`, and images go by.

The bounds were found with two decoders, zxing-cpp and OpenCV, on symbols in random colours, blurred, noisy and
unevenly lit:

- Contrast. By the ratio of WCAG 2 (relative luminances, 1 to 21), OpenCV read 14 % of the symbols at a ratio of 1 to
  1.5, 59 % at 2 to 2.5, 75 % at 2.5 to 3, and from 3 on 94 %; zxing-cpp 21, 69, 83 and 97 %. MIN_CONTRAST is 3.
- Light on dark. OpenCV read none of them, at any ratio; zxing-cpp does only because it tries a second time with the
  image inverted, which not every scanner does. So the foreground must be the darker colour.
- Quiet zone. The standard's 4 modules are the default. On a black page neither read a symbol without one; with one
  module OpenCV read none that was blurred; from 2 modules on it made no difference that could be measured.
- Pixels. At one pixel a module OpenCV read none of 60 symbols, at two all of them. A PNG has at least two; what has
  no pixels may be as small as it likes.

A transparent background is judged as white: nobody can know what the image will lie on.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any

import msgspec

TRANSPARENT = "transparent"
COLOR = r"^#[0-9A-Fa-f]{6}\Z"
MIN_CONTRAST = 3.0
MIN_MARGIN, MAX_MARGIN = 2, 16
MAX_SCALE = 64
MIN_SIDE, MAX_SIDE = 25, 4096
MIN_PIXELS = 2
ERROR_CORRECTION = "^[LMQH]$"

Rgb = tuple[int, int, int]


class UnusableDesign(ValueError):
    """What `name` says cannot be drawn so that it can be read; the message says why."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(reason)
        self.name = name


@dataclass(frozen=True)
class Design:
    """The options of an image, and the fields of a code's `design` that this version knows.

    `margin`: the quiet zone in modules. `scale`: pixels of a module (points in PDF and EPS); `size`, where it is set,
    goes before it: of the whole side, the quiet zone included. `error_correction` is the least; more is taken where
    it costs no module.
    """

    foreground: Annotated[str, msgspec.Meta(pattern=COLOR)] = "#000000"
    background: Annotated[str, msgspec.Meta(pattern=rf"{COLOR}|^{TRANSPARENT}\Z")] = "#ffffff"
    margin: Annotated[int, msgspec.Meta(ge=MIN_MARGIN, le=MAX_MARGIN)] = 4
    error_correction: Annotated[str, msgspec.Meta(pattern=ERROR_CORRECTION)] = "M"
    scale: Annotated[int, msgspec.Meta(ge=1, le=MAX_SCALE)] = 10
    size: Annotated[int, msgspec.Meta(ge=MIN_SIDE, le=MAX_SIDE)] | None = None

    @property
    def is_transparent(self) -> bool:
        return self.background == TRANSPARENT

    @property
    def ink(self) -> Rgb:
        return _rgb(self.foreground)

    @property
    def paper(self) -> Rgb:
        """White where it is transparent."""
        return (255, 255, 255) if self.is_transparent else _rgb(self.background)

    def with_asked(self, asked: Mapping[str, Any]) -> "Design":
        """With the fields of `asked` that are not None in place of its own. Raises UnusableDesign."""
        given = {name: value for name, value in asked.items() if value is not None}
        if {"scale", "size"} <= given.keys():
            raise UnusableDesign("size", "must not be given together with scale")
        if "scale" in given:
            given["size"] = None
        return replace(self, **given)


def parse_design(stored: Mapping[str, Any]) -> Design:
    """Fields that are not known are left to later versions. Raises UnusableDesign."""
    try:
        return msgspec.convert(stored, Design)
    except msgspec.ValidationError as error:
        raise UnusableDesign("design", f"of the code: {error}") from None


def check_design(stored: dict[str, Any]) -> dict[str, Any]:
    """The same, if images can be drawn by it. Raises UnusableDesign."""
    require_contrast(parse_design(stored))
    return stored


def contrast_between(one: Rgb, other: Rgb) -> float:
    """The contrast ratio of WCAG 2, 1 to 21."""
    dark, light = sorted((_luminance(one), _luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def require_contrast(design: Design) -> None:
    """Raises UnusableDesign."""
    ratio = contrast_between(design.ink, design.paper)
    said = f"{design.foreground} on {design.background} has a contrast of {int(ratio * 100) / 100:.2f}:1"
    if ratio < MIN_CONTRAST:
        raise UnusableDesign("foreground", f"{said}, too low for scanners; at least {MIN_CONTRAST:.0f}:1 is needed")
    if _luminance(design.ink) > _luminance(design.paper):
        reason = "but is light on dark, which many scanners cannot read; the foreground must be the darker colour"
        raise UnusableDesign("foreground", f"{said}, {reason}")


def _luminance(color: Rgb) -> float:
    red, green, blue = (_linear(channel / 255) for channel in color)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _linear(channel: float) -> float:
    return channel / 12.92 if channel <= 0.04045 else float(((channel + 0.055) / 1.055) ** 2.4)


def _rgb(color: str) -> Rgb:
    red, green, blue = bytes.fromhex(color[1:])
    return red, green, blue

"""Contrast after WCAG 2: which text a colour carries, and what becomes of a colour that a background swallows.

Colours are written `#rrggbb`. A ratio is between 1 (the same) and 21 (black on white).
"""

BLACK, WHITE = "#000000", "#ffffff"
TEXT_RATIO = 4.5  # level AA, for text of any size
SHAPE_RATIO = 3.0  # level AA, for borders and symbols

_STEPS = 50


def contrast(one: str, other: str) -> float:
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def text_on(background: str) -> str:
    """Black or white. The better of the two has a ratio of at least 4.58 on whatever there is."""
    return max(BLACK, WHITE, key=lambda text: contrast(text, background))


def set_off(colour: str, background: str, ratio: float = SHAPE_RATIO) -> str:
    """The colour nearest to `colour`, on its way to black or white, that has `ratio` on `background`."""
    end = text_on(background)
    mixes = (_mix(colour, end, step / _STEPS) for step in range(_STEPS))
    return next((mix for mix in mixes if contrast(mix, background) >= ratio), end)


def _luminance(colour: str) -> float:
    red, green, blue = (_linear(channel / 255) for channel in _channels(colour))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _linear(channel: float) -> float:
    return channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4


def _mix(colour: str, end: str, share: float) -> str:
    pairs = zip(_channels(colour), _channels(end), strict=True)
    return "#" + "".join(f"{round(start + (stop - start) * share):02x}" for start, stop in pairs)


def _channels(colour: str) -> bytes:
    return bytes.fromhex(colour[1:])

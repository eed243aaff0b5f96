"""What may be asked of an image, as query parameters, and the headers of the answer."""

import re
import unicodedata
from typing import Annotated, Any, Literal

from fastapi import Query

from control_api.design import MAX_MARGIN, MAX_SCALE, MAX_SIDE, MIN_MARGIN, MIN_SIDE, TRANSPARENT
from control_api.images.drawing import Drawing
from control_api.images.model import PrintedCode

MAX_NAME_IN_FILE_NAME = 60
_HEX = "#?[0-9A-Fa-f]{6}"
_NOT_PLAIN = re.compile(r"[^A-Za-z0-9]+")

Size = Annotated[
    int | None,
    Query(ge=MIN_SIDE, le=MAX_SIDE, description="Side of the image with its margin, in pixels (PDF, EPS: points)"),
]
Scale = Annotated[
    int | None, Query(ge=1, le=MAX_SCALE, description="Side of a module in pixels or points, instead of `size`")
]
Margin = Annotated[int | None, Query(ge=MIN_MARGIN, le=MAX_MARGIN, description="Quiet zone in modules")]
Foreground = Annotated[
    str | None,
    Query(
        pattern=f"^{_HEX}$", description="Colour of the dark modules, `rrggbb` or `%23rrggbb`", examples=["1a2b4c"]
    ),
]
Background = Annotated[
    str | None,
    Query(pattern=f"^({_HEX}|{TRANSPARENT})$", description="Likewise, or `transparent`", examples=["ffffff"]),
]
ErrorCorrection = Annotated[
    Literal["L", "M", "Q", "H"] | None,
    Query(description="The least; more is taken where the symbol stays as small"),
]


class AskedDesign:
    """Each None where the code's own design decides."""

    def __init__(  # noqa: PLR0913 - the parameters
        self,
        size: Size = None,
        scale: Scale = None,
        margin: Margin = None,
        foreground: Foreground = None,
        background: Background = None,
        error_correction: ErrorCorrection = None,
    ) -> None:
        self.fields: dict[str, Any] = {
            "size": size,
            "scale": scale,
            "margin": margin,
            "foreground": _color(foreground),
            "background": _color(background),
            "error_correction": error_correction,
        }


def file_name(code: PrintedCode, drawing: Drawing) -> str:
    """Harmless everywhere: letters and digits of the code's name, as far as ASCII has them, and its short code."""
    plain = unicodedata.normalize("NFKD", code.name).encode("ascii", "ignore").decode()
    name = _NOT_PLAIN.sub("-", plain)[:MAX_NAME_IN_FILE_NAME].strip("-")
    return f"{name}-{code.short_code}.{drawing.format}".lstrip("-")


def _color(text: str | None) -> str | None:
    if text is None or text == TRANSPARENT:
        return text
    return f"#{text.removeprefix('#').lower()}"

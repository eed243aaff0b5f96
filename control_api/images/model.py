"""What an image is of, and in which format."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class ImageFormat(StrEnum):
    """Each as its file's ending, in the order of preference where the sender has none."""

    SVG = "svg"
    PNG = "png"
    PDF = "pdf"
    EPS = "eps"

    @property
    def media_type(self) -> str:
        return MEDIA_TYPES[self]


MEDIA_TYPES: Mapping[ImageFormat, str] = {
    ImageFormat.SVG: "image/svg+xml",
    ImageFormat.PNG: "image/png",
    ImageFormat.PDF: "application/pdf",
    ImageFormat.EPS: "application/postscript",
}


@dataclass(frozen=True)
class ShortUrl:
    """What a symbol says, in two parts: scheme and host, whose letter case never counts, and the path.

    `folds`: the letter case of the path does not count either.
    """

    origin: str
    path: str
    folds: bool


@dataclass(frozen=True)
class PrintedCode:
    """A code as far as its image is concerned. `host` None: the default domain; `design`: as it is stored."""

    short_code: str
    name: str
    host: str | None
    is_exact: bool
    design: Mapping[str, Any]

    def short_url(self, public_url: str) -> ShortUrl:
        """On a custom domain in the scheme of `public_url`, and without a prefix.

        Where `public_url` has a path of its own, whatever strips it may look at its letter case.
        """
        scheme, _, rest = public_url.partition("://")
        if self.host is not None:
            return ShortUrl(f"{scheme}://{self.host}", f"/{self.short_code}", folds=not self.is_exact)
        host, slash, base = rest.partition("/")
        return ShortUrl(f"{scheme}://{host}", f"{slash}{base}/r/{self.short_code}", folds=not base)

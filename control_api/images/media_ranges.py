"""Which format an `Accept` header asks for (RFC 9110, section 12.5.1)."""

from control_api.images.model import ImageFormat


def find_format(accept: str) -> ImageFormat | None:
    """The most wanted, the first of ours among equals; None when none of ours is wanted. Nonsense is passed over."""
    ranges = dict(parsed for part in accept.split(",") if (parsed := _parse_range(part)) is not None)
    if not accept.strip():
        ranges = {"*/*": 1.0}
    quality, best = max(
        ((_quality(each.media_type, ranges), each) for each in ImageFormat), key=lambda rated: rated[0]
    )
    return best if quality > 0 else None


def _quality(media_type: str, ranges: dict[str, float]) -> float:
    """That of the most specific range which names the type."""
    family = media_type.partition("/")[0]
    for name in (media_type, f"{family}/*", "*/*"):
        if name in ranges:
            return ranges[name]
    return 0.0


def _parse_range(text: str) -> tuple[str, float] | None:
    name, *parameters = (part.strip().lower() for part in text.split(";"))
    quality = 1.0
    for parameter in parameters:
        if parameter.startswith("q="):
            try:
                quality = float(parameter[2:])
            except ValueError:
                return None
    return (name, quality) if 0 <= quality <= 1 else None

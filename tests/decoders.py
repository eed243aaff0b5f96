"""What scanners read in an image: two decoders that have nothing in common."""

from collections.abc import Callable, Mapping

import cv2
import numpy as np
import zxingcpp

Pixels = np.ndarray


def pixels_of(png: bytes) -> Pixels:
    """Height x width x BGR; what is transparent lies on white."""
    found = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)
    assert found is not None
    if found.ndim == 2:
        return cv2.cvtColor(found, cv2.COLOR_GRAY2BGR)
    if found.shape[2] == 4:
        opacity = found[:, :, 3:] / 255
        return (found[:, :, :3] * opacity + 255 * (1 - opacity)).astype(np.uint8)
    return found


def read_by_zxing(pixels: Pixels) -> str | None:
    """Without its second try, on the inverted image, which other scanners do not have."""
    found = zxingcpp.read_barcodes(np.ascontiguousarray(pixels), zxingcpp.BarcodeFormat.QRCode, try_invert=False)
    return found[0].text if found else None


def read_by_opencv(pixels: Pixels) -> str | None:
    """From a few distances, as a phone does: of one picture in some hundred it misses the symbol, however clean."""
    for share in (1.0, 0.8, 1.25, 0.6, 1.6):
        seen = pixels if share == 1 else cv2.resize(pixels, None, fx=share, fy=share, interpolation=cv2.INTER_AREA)
        if text := cv2.QRCodeDetector().detectAndDecode(seen)[0]:
            return text
    return None


DECODERS: Mapping[str, Callable[[Pixels], str | None]] = {"zxing-cpp": read_by_zxing, "OpenCV": read_by_opencv}


def read_by_all(pixels: Pixels) -> dict[str, str | None]:
    return {name: read(pixels) for name, read in DECODERS.items()}


def all_read(text: object) -> dict[str, object]:
    return dict.fromkeys(DECODERS, text)

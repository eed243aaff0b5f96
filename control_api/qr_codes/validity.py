"""What must be true between the fields of a code."""

from collections.abc import Collection

from control_api.qr_codes.model import NewQrCode, QrCode
from control_api.web.problem import invalid_parameter


def require_window(code: NewQrCode | QrCode, sent: Collection[str]) -> None:
    """Names the end that was `sent`. Raises Problem."""
    if code.starts_at is None or code.expires_at is None or code.starts_at < code.expires_at:
        return
    if "expires_at" in sent:
        raise invalid_parameter("expires_at", "must be after starts_at")
    raise invalid_parameter("starts_at", "must be before expires_at")

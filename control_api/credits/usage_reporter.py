"""Who may report token usage: members who may spend credits, and the holder of SCANHOP_X_API_KEY.

The latter speaks for every workspace, on these routes only, and says which one with each report.
"""

import hashlib
import hmac
from typing import Annotated, Any

from fastapi import Request, Security

from control_api.web.authentication import _BEARER, _HEADER, Caller, Guard, PlatformAdmin

CREDIT_SERVICE = PlatformAdmin(actor="credit-service")


class ReporterGuard(Guard):
    """As Guard, with one key more."""

    async def __call__(
        self,
        request: Request,
        _bearer: Annotated[Any, Security(_BEARER)] = None,
        _header: Annotated[Any, Security(_HEADER)] = None,
    ) -> Caller:
        key: str | None = request.app.state.settings.x_api_key
        sent = request.headers.get("x-api-key")
        if key is not None and sent is not None and _is_same(sent, key):
            request.state.caller = CREDIT_SERVICE
            return CREDIT_SERVICE
        return await super().__call__(request)


Reporter = Annotated[Caller, Security(ReporterGuard("credits:spend"))]


def _is_same(one: str, other: str) -> bool:
    """In a time that tells neither where they differ nor how long they are."""
    return hmac.compare_digest(*(hashlib.sha256(text.encode()).digest() for text in (one, other)))

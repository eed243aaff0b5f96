"""Which variant a client gets: the same each time it asks, without a cookie.

A keyed hash of the code, the client's address and its User-Agent is a point on the line that the weights divide.
Who knows the code and a client cannot tell the variant without the secret.
"""

import hmac
from collections.abc import Sequence

from scanhop.routing.facts import Address
from scanhop.wire.route import Variant

_POINT_BITS = 64


def choose_variant(
    variants: Sequence[Variant], secret: bytes, code: str, address: Address | None, user_agent: str
) -> Variant:
    """`variants` is not empty."""
    end = _point(secret, code, address, user_agent) * sum(variant.weight for variant in variants) >> _POINT_BITS
    for variant in variants:
        end -= variant.weight
        if end < 0:
            return variant
    return variants[-1]


def _point(secret: bytes, code: str, address: Address | None, user_agent: str) -> int:
    parts = (code.encode(), b"" if address is None else address.packed, user_agent.encode("utf-8", "replace"))
    message = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    return int.from_bytes(hmac.digest(secret, message, "sha256")[: _POINT_BITS // 8], "big")

"""Access tokens: JWT (RFC 7519) signed with HS256, for a quarter of an hour.

`sub` is the user, `sid` the session: a token opens nothing any more once its session has ended. Of several keys the
first signs and all verify; `kid` says which it was and tells nothing of the key.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import jwt

from control_api.clock import Clock
from scanhop.wire.ids import UserId

LIFETIME = timedelta(minutes=15)
_ISSUER = "scanhop"
_ALGORITHM = "HS256"
_CLAIMS = ["iss", "sub", "sid", "iat", "exp"]


@dataclass(frozen=True)
class AccessClaims:
    """What a valid token says."""

    user_id: UserId
    session_id: UUID


class AccessTokens:
    """Without keys no token is valid, and none can be issued."""

    def __init__(self, keys: Sequence[bytes], clock: Clock) -> None:
        self._keys = {_key_id(key): key for key in keys}
        self._clock = clock

    @property
    def are_possible(self) -> bool:
        return bool(self._keys)

    def issue(self, user_id: UserId, session_id: UUID) -> str:
        now = int(self._clock().timestamp())
        key_id, key = next(iter(self._keys.items()))
        claims = {
            "iss": _ISSUER,
            "sub": str(user_id),
            "sid": str(session_id),
            "iat": now,
            "exp": now + int(LIFETIME.total_seconds()),
        }
        return jwt.encode(claims, key, algorithm=_ALGORITHM, headers={"kid": key_id})

    def find_claims(self, text: str) -> AccessClaims | None:
        try:
            key = self._keys.get(str(jwt.get_unverified_header(text).get("kid")))
            if key is None:
                return None
            # The time is checked below, by our own clock.
            options = {"require": _CLAIMS, "verify_exp": False, "verify_iat": False}
            claims = jwt.decode(text, key, algorithms=[_ALGORITHM], issuer=_ISSUER, options=options)  # type: ignore[arg-type]
            if self._clock().timestamp() >= int(claims["exp"]):
                return None
            return AccessClaims(UserId(UUID(claims["sub"])), UUID(claims["sid"]))
        except (jwt.InvalidTokenError, ValueError, TypeError):
            return None


def _key_id(key: bytes) -> str:
    return hashlib.sha256(b"key id" + key).hexdigest()[:16]

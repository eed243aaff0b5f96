"""The password of a code: tried through a form, held against an argon2id hash.

Tries are limited first: TRIES_PER_NETWORK for one code from one client network, TRIES_PER_CODE from everywhere, both
in WINDOW_S. Then the hash is checked in a thread, one at a time per worker, since a check takes tens of milliseconds
and up to 19 MiB. Nothing here is kept beyond the window, and no password is logged or recorded.
"""

import asyncio
import time
from enum import StrEnum

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from edge.bounded_map import BoundedMap
from edge.unknown_budget import network_of
from scanhop.telemetry.logs import get_logger
from scanhop.wire.route import Route

TRIES_PER_NETWORK = 10
TRIES_PER_CODE = 100
WINDOW_S = 60.0
MAX_WAITING = 20
MAX_PASSWORD = 512
MAX_COUNTED = 10_000


class Try(StrEnum):
    """What came of a try."""

    RIGHT = "right"
    WRONG = "wrong"
    TOO_MANY = "too_many"


class Passwords:
    """One per worker."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher()
        self._one_at_a_time = asyncio.Lock()
        self._waiting = 0
        self._by_code = _Tries(TRIES_PER_CODE)
        self._by_network = _Tries(TRIES_PER_NETWORK)

    async def check(self, route: Route, password: bytes, address: bytes) -> Try:
        """`address`: the client's, packed."""
        now = time.monotonic()
        is_within = self._by_network.take(route.qr_id + network_of(address), now)
        if not is_within or not self._by_code.take(route.qr_id, now) or self._waiting >= MAX_WAITING:
            return Try.TOO_MANY
        if not 0 < len(password) <= MAX_PASSWORD or route.password_hash is None:
            return Try.WRONG
        self._waiting += 1
        try:
            async with self._one_at_a_time:
                is_right = await asyncio.to_thread(self._verify, route.password_hash, password)
        finally:
            self._waiting -= 1
        return Try.RIGHT if is_right else Try.WRONG

    def _verify(self, password_hash: str, password: bytes) -> bool:
        try:
            return self._hasher.verify(password_hash, password)
        except InvalidHashError:
            get_logger().error("password_hash_not_readable")
            return False
        except Argon2Error:
            return False


class _Tries:
    """At most `limit` in a window that begins with the first."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._begun: BoundedMap[bytes, tuple[float, int]] = BoundedMap(MAX_COUNTED)

    def take(self, key: bytes, now: float) -> bool:
        began, count = self._begun.find(key) or (now, 0)
        if now - began >= WINDOW_S:
            began, count = now, 0
        if count >= self._limit:
            return False
        self._begun.store(key, (began, count + 1))
        return True

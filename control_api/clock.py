"""The time, as everything in the API is handed it."""

from collections.abc import Callable
from datetime import UTC, datetime
from uuid import UUID

from scanhop.wire.ids import uuid7

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    return datetime.now(UTC)


def new_id(now: datetime) -> UUID:
    return uuid7(int(now.timestamp() * 1_000) * 1_000_000)

"""Whether a request came from a person with a phone: a verdict with its reason, so that it can be revised."""

from collections.abc import Mapping
from enum import StrEnum

from scanhop.client_facts.device import Device, DeviceType

_PREFETCH_HEADERS = (b"purpose", b"sec-purpose", b"x-purpose", b"x-moz")
_PREFETCH_WORDS = (b"prefetch", b"preview", b"prerender")


class BotReason(StrEnum):
    """A closed list; the values are what ClickHouse stores. NONE: taken for a person."""

    NONE = ""
    CRAWLER = "crawler"
    PREFETCH = "prefetch"


def judge(device: Device, headers: Mapping[bytes, bytes]) -> BotReason:
    """`headers` by lower-case name."""
    if any(_asks_ahead(headers[name]) for name in _PREFETCH_HEADERS if name in headers):
        return BotReason.PREFETCH
    return BotReason.CRAWLER if device.device_type is DeviceType.BOT else BotReason.NONE


def _asks_ahead(value: bytes) -> bool:
    lowered = value.lower()
    return any(word in lowered for word in _PREFETCH_WORDS)

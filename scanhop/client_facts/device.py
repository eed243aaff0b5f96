"""Device, operating system and browser of a User-Agent."""

from enum import StrEnum
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from scanhop.client_facts.user_agent import ParsedUserAgent, UserAgentParser

CACHED_USER_AGENTS = 20_000
MAX_USER_AGENT = 1024


class DeviceType(StrEnum):
    """A closed list; the values are what ClickHouse stores."""

    MOBILE = "mobile"
    TABLET = "tablet"
    DESKTOP = "desktop"
    BOT = "bot"
    OTHER = "other"


class Device(msgspec.Struct, frozen=True, gc=False):
    """`os` and `browser` are family names, "Other" where unknown."""

    device_type: DeviceType
    os: str
    browser: str


class DeviceReader:
    """Reads User-Agents; the most recent are remembered, `cached` of them.

    The first one costs a tenth of a second and 25 MB: many an edge worker never meets a code that asks.
    """

    def __init__(self, cached: int = CACHED_USER_AGENTS) -> None:
        self.read = lru_cache(cached)(self._read)

    @cached_property
    def _parser(self) -> "UserAgentParser":
        from scanhop.client_facts.user_agent import UserAgentParser  # noqa: PLC0415 - 4 MB that few workers need

        return UserAgentParser()

    def _read(self, user_agent: str) -> Device:
        seen = self._parser.parse(user_agent[:MAX_USER_AGENT])
        return Device(_device_type(seen), seen.os.family, seen.browser.family)


def _device_type(seen: "ParsedUserAgent") -> DeviceType:
    if seen.is_bot:
        return DeviceType.BOT
    if seen.is_tablet:
        return DeviceType.TABLET
    if seen.is_mobile:
        return DeviceType.MOBILE
    return DeviceType.DESKTOP if seen.is_pc else DeviceType.OTHER

"""Device, operating system and browser of a User-Agent.

The regular expressions and their reading are the libraries `ua-parser` (its Rust resolver: about 20 µs a string) and
`user-agents` (which device is a phone, a tablet, a PC, a spider).
"""

from enum import StrEnum
from functools import cached_property, lru_cache

import msgspec
from ua_parser import OS, Parser, Result
from ua_parser.loaders import load_lazy_builtins
from ua_parser.regex import Resolver
from user_agents.parsers import Browser, OperatingSystem, UserAgent
from user_agents.parsers import Device as DeviceModel

CACHED_USER_AGENTS = 20_000
MAX_USER_AGENT = 1024
UNKNOWN = "Other"


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
    def _parser(self) -> Parser:
        return Parser(Resolver(load_lazy_builtins()))

    def _read(self, user_agent: str) -> Device:
        text = user_agent[:MAX_USER_AGENT]
        seen = _ParsedUserAgent(self._parser.parse(text))
        return Device(_device_type(seen), seen.os.family, seen.browser.family)


class _ParsedUserAgent(UserAgent):  # type: ignore[misc]
    """user-agents' judgement on top of a result of the fast parser."""

    def __init__(self, result: Result) -> None:
        # user-agents would read the parts of a version as numbers, and fail on a digit that is none (a superscript).
        agent, os, device = result.user_agent, result.os, result.device
        self.ua_string = result.string
        self.browser = Browser(agent.family if agent else UNKNOWN, (), "")
        self.os = OperatingSystem(os.family if os else UNKNOWN, (), _version(os) if os else "")
        self.device = DeviceModel(device.family, device.brand, device.model) if device else _NO_DEVICE


_NO_DEVICE = DeviceModel(UNKNOWN, None, None)


def _version(os: OS) -> str:
    return ".".join(part for part in (os.major, os.minor, os.patch) if part)


def _device_type(seen: UserAgent) -> DeviceType:
    if seen.is_bot:
        return DeviceType.BOT
    if seen.is_tablet:
        return DeviceType.TABLET
    if seen.is_mobile:
        return DeviceType.MOBILE
    return DeviceType.DESKTOP if seen.is_pc else DeviceType.OTHER

"""A User-Agent as the libraries see it: `ua-parser` reads it, `user-agents` judges what kind of device it is of.

Their regular expressions take memory and time, so this is imported with the first User-Agent (see `device`).
"""

from ua_parser import OS, Parser, Result
from ua_parser.loaders import load_lazy_builtins
from ua_parser.regex import Resolver
from user_agents.parsers import Browser, Device, OperatingSystem, UserAgent

UNKNOWN = "Other"


class UserAgentParser:
    """By the Rust resolver: about 20 µs a string."""

    def __init__(self) -> None:
        self._parser = Parser(Resolver(load_lazy_builtins()))

    def parse(self, text: str) -> "ParsedUserAgent":
        return ParsedUserAgent(self._parser.parse(text))


class ParsedUserAgent(UserAgent):  # type: ignore[misc]
    """user-agents' judgement on top of a result of the fast parser."""

    def __init__(self, result: Result) -> None:
        # user-agents would read the parts of a version as numbers, and fail on a digit that is none (a superscript).
        agent, os, device = result.user_agent, result.os, result.device
        self.ua_string = result.string
        self.browser = Browser(agent.family if agent else UNKNOWN, (), "")
        self.os = OperatingSystem(os.family if os else UNKNOWN, (), _version(os) if os else "")
        self.device = Device(device.family, device.brand, device.model) if device else _NO_DEVICE


_NO_DEVICE = Device(UNKNOWN, None, None)


def _version(os: OS) -> str:
    return ".".join(part for part in (os.major, os.minor, os.patch) if part)

"""What rules may ask of a scan, as plain types: who gathers the facts is not known here.

A fact is read only when a condition needs it, so that it may be worked out then. Unknown is "" for a place, () for
languages, None for an address or a number of scans.
"""

from ipaddress import IPv4Address, IPv6Address
from typing import Protocol

import msgspec

Address = IPv4Address | IPv6Address
Languages = tuple[tuple[str, float], ...]


class DeviceFact(Protocol):
    """`device_type` in lower case; `os` and `browser` are family names."""

    @property
    def device_type(self) -> str: ...
    @property
    def os(self) -> str: ...
    @property
    def browser(self) -> str: ...


class Facts(Protocol):
    """One scan. `languages`: lower-case tags with their weights, best first. `query`: as it stands in the URL."""

    @property
    def now_ns(self) -> int: ...
    @property
    def device(self) -> DeviceFact: ...
    @property
    def address(self) -> Address | None: ...
    @property
    def country(self) -> str: ...
    @property
    def region(self) -> str: ...
    @property
    def city(self) -> str: ...
    @property
    def languages(self) -> Languages: ...
    @property
    def query(self) -> bytes: ...
    @property
    def user_agent(self) -> str: ...
    @property
    def scans(self) -> int | None:
        """Counted scans of the code before this one."""

    @property
    def is_unlocked(self) -> bool:
        """The password was given with this scan."""

    @property
    def ab_secret(self) -> bytes: ...


class GivenDevice(msgspec.Struct, frozen=True):
    """A device that is told rather than read."""

    device_type: str = "other"
    os: str = "Other"
    browser: str = "Other"


class GivenFacts(msgspec.Struct, frozen=True):
    """Facts that are told rather than gathered, for dry runs."""

    now_ns: int
    device: DeviceFact = GivenDevice()
    address: Address | None = None
    country: str = ""
    region: str = ""
    city: str = ""
    languages: Languages = ()
    query: bytes = b""
    user_agent: str = ""
    scans: int | None = None
    is_unlocked: bool = False
    ab_secret: bytes = b""

"""The facts of one request, each worked out when it is first asked for and remembered.

Most scans meet no rule and ask for none of them, so that to make this object must cost next to nothing.
"""

from collections.abc import Mapping, Sequence

from scanhop.client_facts.bots import BotReason, judge
from scanhop.client_facts.client_address import Address, Network, TrustedNetworks, address_from, client_bytes
from scanhop.client_facts.device import Device, DeviceReader
from scanhop.client_facts.geo import GeoReader, Place
from scanhop.client_facts.language import ranked_languages


class FactReaders:
    """What facts are read with: one for all requests of a process. `ab_secret` keys the choice of variants."""

    def __init__(
        self, trusted: Sequence[Network], device_reader: DeviceReader, geo_reader: GeoReader, ab_secret: bytes
    ) -> None:
        self.trusted = TrustedNetworks(trusted)
        self.device_reader = device_reader
        self.geo_reader = geo_reader
        self.ab_secret = ab_secret


class RequestFacts:
    """`peer`: 4 or 16 bytes, or none of a local socket. `headers` by lower-case name. `query` as in the URL.

    `scans` and `is_unlocked` are for the caller to set, once it knows.
    """

    __slots__ = (
        "_client",
        "_device",
        "_headers",
        "_peer",
        "_place",
        "_readers",
        "_user_agent",
        "is_unlocked",
        "now_ns",
        "query",
        "scans",
    )

    def __init__(
        self, now_ns: int, peer: bytes, headers: Mapping[bytes, bytes], query: bytes, readers: FactReaders
    ) -> None:
        self.now_ns = now_ns
        self.query = query
        self._peer = peer
        self._headers = headers
        self._readers = readers
        self.scans: int | None = None
        self.is_unlocked = False
        self._client: bytes | None = None
        self._user_agent: str | None = None
        self._device: Device | None = None
        self._place: Place | None = None

    @property
    def client(self) -> bytes:
        """The address as 4 or 16 bytes, none when unknown."""
        if self._client is None:
            self._client = client_bytes(self._peer, self._headers, self._readers.trusted)
        return self._client

    @property
    def address(self) -> Address | None:
        return address_from(self.client)

    @property
    def user_agent(self) -> str:
        if self._user_agent is None:
            self._user_agent = self._headers.get(b"user-agent", b"").decode("latin-1")
        return self._user_agent

    @property
    def device(self) -> Device:
        if self._device is None:
            self._device = self._readers.device_reader.read(self.user_agent)
        return self._device

    @property
    def place(self) -> Place:
        if self._place is None:
            self._place = self._readers.geo_reader.read_many((self.client,))[0]
        return self._place

    @property
    def country(self) -> str:
        return self.place.country

    @property
    def region(self) -> str:
        return self.place.region

    @property
    def city(self) -> str:
        return self.place.city

    @property
    def languages(self) -> tuple[tuple[str, float], ...]:
        return ranked_languages(self._headers.get(b"accept-language", b""))

    @property
    def bot_reason(self) -> BotReason:
        return judge(self.device, self._headers)

    @property
    def is_bot(self) -> bool:
        return self.bot_reason is not BotReason.NONE

    @property
    def ab_secret(self) -> bytes:
        return self._readers.ab_secret

"""What a row does not say and what follows from it: device, bot or not, place; and what is stored of the address."""

import msgspec

from ingest.csv_import.normalise import CsvScan, parse_address
from ingest.enrichment import IpStorage
from scanhop.client_facts.bots import BotReason, judge
from scanhop.client_facts.client_address import Address, network_of
from scanhop.client_facts.device import DeviceReader, DeviceType
from scanhop.client_facts.geo import NOWHERE, GeoReader


class Facts(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The columns of a row that are text, as they are stored. `bot_reason` empty: a person."""

    outcome: str
    bot_reason: str
    ip: str
    country: str
    region: str
    city: str
    language: str
    device_type: str
    os: str
    browser: str
    user_agent: str
    referer: str


class Derivation:
    def __init__(self, places: GeoReader, ip_storage: IpStorage) -> None:
        self._places = places
        self._ip_storage = ip_storage
        self._devices = DeviceReader()

    def derive(self, scan: CsvScan) -> Facts:
        address = parse_address(scan.ip) if scan.ip else None
        device = self._devices.read(scan.user_agent)
        says_where = scan.country or scan.region or scan.city
        place = NOWHERE if says_where else self._places.read(address)
        return Facts(
            outcome=scan.outcome,
            bot_reason=self._bot_reason(scan),
            ip=self._stored(address),
            country=scan.country or place.country,
            region=scan.region or place.region,
            city=scan.city or place.city,
            language=scan.language,
            device_type=scan.device_type or device.device_type.value,
            os=scan.os or device.os,
            browser=scan.browser or device.browser,
            user_agent=scan.user_agent,
            referer=scan.referer,
        )

    def _bot_reason(self, scan: CsvScan) -> str:
        """What the file says goes before what the User-Agent is known for."""
        if scan.is_bot is False:
            return BotReason.NONE.value
        judged = judge(self._devices.read(scan.user_agent), {b"user-agent": scan.user_agent.encode()})
        says_bot = scan.is_bot or scan.device_type == DeviceType.BOT
        if says_bot and judged is BotReason.NONE:
            return BotReason.CRAWLER.value
        return judged.value

    def _stored(self, address: Address | None) -> str:
        if address is None or self._ip_storage == "none":
            return ""
        return str(address) if self._ip_storage == "full" else network_of(address.packed)

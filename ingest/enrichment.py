"""From the record of a scan to what its row says: a literal list of steps, each filling in its part.

The same record under the same salt and the same GeoIP database gives the same row: no random, no state but caches.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from typing import Literal

import msgspec

from ingest.visitors import NO_VISITOR, Visitors
from scanhop.client_facts.bots import BotReason, judge
from scanhop.client_facts.client_address import Address, Network, client_address, network_of
from scanhop.client_facts.device import Device, DeviceReader
from scanhop.client_facts.geo import NOWHERE, GeoReader, Place
from scanhop.client_facts.language import first_language
from scanhop.wire.scan_record import ScanRecord

IpStorage = Literal["truncated", "full", "none"]
_NS_PER_DAY = 86_400 * 1_000_000_000
_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()


class Scan(msgspec.Struct, gc=False):
    """A record on its way to a row."""

    record: ScanRecord
    address: Address | None = None
    place: Place = NOWHERE
    device: Device | None = None
    bot_reason: BotReason = BotReason.NONE
    visitor: int = NO_VISITOR
    ip: str = ""
    language: str = ""


class Enrichment:
    """The steps, with what they need."""

    def __init__(
        self,
        visitors: Visitors,
        trusted: Sequence[Network],
        ip_storage: IpStorage,
        geo_reader: GeoReader | None = None,
    ) -> None:
        self._visitors = visitors
        self._trusted = trusted
        self._geo_reader = geo_reader or GeoReader(None)
        self._ip_storage = ip_storage
        self._devices = DeviceReader()
        self._devices.read("")  # now, not at the first scan
        self._steps: tuple[Callable[[Scan], None], ...] = (
            self._find_client,
            self._read_place,
            self._read_device,
            self._judge_bot,
            self._key_visitor,
            self._read_language,
            self._keep_address,
        )

    def enrich(self, record: ScanRecord) -> Scan:
        scan = Scan(record)
        for step in self._steps:
            step(scan)
        return scan

    def _find_client(self, scan: Scan) -> None:
        scan.address = client_address(scan.record.peer, scan.record.headers, self._trusted)

    def _read_place(self, scan: Scan) -> None:
        scan.place = self._geo_reader.read(scan.address)

    def _read_device(self, scan: Scan) -> None:
        scan.device = self._devices.read(scan.record.headers.get(b"user-agent", b"").decode("latin-1"))

    def _judge_bot(self, scan: Scan) -> None:
        if scan.device is not None:
            scan.bot_reason = judge(scan.device, scan.record.headers)

    def _key_visitor(self, scan: Scan) -> None:
        if scan.address is not None:
            headers = scan.record.headers
            scan.visitor = self._visitors.key(
                utc_day(scan.record.scanned_at_ns),
                scan.address.packed,
                headers.get(b"user-agent", b""),
                headers.get(b"accept-language", b""),
            )

    def _read_language(self, scan: Scan) -> None:
        scan.language = first_language(scan.record.headers.get(b"accept-language", b""))

    def _keep_address(self, scan: Scan) -> None:
        if scan.address is not None and self._ip_storage != "none":
            scan.ip = str(scan.address) if self._ip_storage == "full" else network_of(scan.address)


def utc_day(at_ns: int) -> date:
    return date.fromordinal(_EPOCH_ORDINAL + at_ns // _NS_PER_DAY)


def utc_month(at_ns: int) -> tuple[int, int]:
    at = datetime.fromtimestamp(at_ns // 1_000_000_000, UTC)
    return at.year, at.month

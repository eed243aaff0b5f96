"""From records to what their rows say: a literal list of named steps, each filling in columns of all scans at once.

The same records under the same salts and the same GeoIP database give the same columns: no random, no state but
caches. A record that a step fails on is rejected and stops no other: the steps are then taken again, for each record
apart. Steps are counted for scans that have passed all of them, so `figures` and `reasons` agree with the rows.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from time import thread_time
from typing import Literal, NamedTuple

from ingest.scan_reader import Record, Rejected, Rejection, ScanReader, Scans, UserAgent
from ingest.visitors import NO_VISITOR, Visitors
from scanhop.client_facts.bots import BotReason, judge_name
from scanhop.client_facts.client_address import Network, TrustedNetworks, client_bytes, network_of, text_of
from scanhop.client_facts.device import Device, DeviceReader
from scanhop.client_facts.geo import NOWHERE, GeoReader
from scanhop.client_facts.language import first_language
from scanhop.telemetry.logs import get_logger
from scanhop.wire.scan_record import decode_headers

IpStorage = Literal["truncated", "full", "none"]
_NOTHING: Mapping[bytes, bytes] = {}

_log = get_logger()


class Step(StrEnum):
    """A closed list; the names are what metrics show."""

    READ = "read"
    CLIENT = "client"
    PLACE = "place"
    DEVICE = "device"
    BOT = "bot"
    VISITOR = "visitor"
    LANGUAGE = "language"
    ADDRESS = "address"


class Unknown(StrEnum):
    """Why a column stays empty. A closed list, as are Rejection and BotReason."""

    NO_ADDRESS = "no_address"
    NO_PLACE = "no_place"
    NO_SALT = "no_salt"


class Figures(NamedTuple):
    """What one step has done so far, in seconds of CPU."""

    records: int
    seconds: float


class Enrichment:
    """The steps, with what they need.

    `reasons`: how many scans of (step, reason) there were, of Rejection, BotReason and Unknown.
    """

    def __init__(
        self,
        visitors: Visitors,
        trusted: Sequence[Network],
        ip_storage: IpStorage,
        geo_reader: GeoReader | None = None,
    ) -> None:
        self._visitors = visitors
        self._trusted = TrustedNetworks(trusted)
        self._ip_storage = ip_storage
        self._geo_reader = geo_reader or GeoReader(None)
        self._reader = ScanReader()
        self._devices = DeviceReader(cached=0)  # a UserAgent remembers its own
        self._devices.read("")  # now, not at the first scan
        self._figures = dict.fromkeys(Step, Figures(0, 0.0))
        self.reasons: Counter[tuple[Step, str]] = Counter()
        self._steps: tuple[tuple[Step, Callable[[Scans], None]], ...] = (
            (Step.CLIENT, self._find_clients),
            (Step.PLACE, self._read_places),
            (Step.DEVICE, self._read_devices),
            (Step.BOT, self._judge_bots),
            (Step.VISITOR, self._key_visitors),
            (Step.LANGUAGE, self._read_languages),
            (Step.ADDRESS, self._keep_addresses),
        )

    @property
    def figures(self) -> Mapping[str, Figures]:
        """By the step's name, in the order of the steps."""
        return {str(step): figures for step, figures in self._figures.items()}

    def enrich(self, records: Sequence[Record]) -> tuple[Scans, list[Rejected]]:
        """The scans with all their columns, and the records that cannot be rows."""
        started = thread_time()
        scans, rejected = self._reader.read(records)
        self._count(Step.READ, len(records), thread_time() - started)
        try:
            self._take_steps(scans)
        except Exception:  # noqa: BLE001 - whatever it is, one record or another is to blame
            scans, failed = self._enrich_apart(scans, dict(records))
            rejected += failed
        self.reasons.update((Step.READ, record.reason) for record in rejected)
        self._count_reasons(scans)
        return scans, rejected

    def _enrich_apart(self, scans: Scans, payloads: Mapping[int, bytes]) -> tuple[Scans, list[Rejected]]:
        enriched, failed = Scans(), []
        for scan in scans.apart():
            try:
                self._take_steps(scan)
            except Exception as error:  # noqa: BLE001
                (number,) = scan.numbers
                _log.exception("enrichment_failed", record=number)
                detail = f"enrichment: {type(error).__name__}: {error}"
                failed.append(Rejected(number, payloads[number], Rejection.FAILED, detail))
            else:
                enriched.extend(scan)
        return enriched, failed

    def _take_steps(self, scans: Scans) -> None:
        """Counted when all have succeeded."""
        seconds = []
        for _, take in self._steps:
            started = thread_time()
            take(scans)
            seconds.append(thread_time() - started)
        for (step, _), spent in zip(self._steps, seconds, strict=True):
            self._count(step, len(scans), spent)

    def _find_clients(self, scans: Scans) -> None:
        trusted = self._trusted
        scans.addresses = [
            client_bytes(peer, decode_headers(forwarding) if forwarding else _NOTHING, trusted)
            for peer, forwarding in zip(scans.peers, scans.forwarding, strict=True)
        ]

    def _read_places(self, scans: Scans) -> None:
        scans.places = self._geo_reader.read_many(scans.addresses)

    def _read_devices(self, scans: Scans) -> None:
        agents = [headers.user_agent for headers in scans.headers]
        scans.devices = [agent.device or self._device_of(agent) for agent in agents]

    def _device_of(self, agent: UserAgent) -> Device:
        agent.device = self._devices.read(agent.sent.decode("latin-1"))
        return agent.device

    def _judge_bots(self, scans: Scans) -> None:
        scans.bot_reasons = [
            BotReason.PREFETCH if headers.asks_ahead else self._reason_of(headers.user_agent, device)
            for headers, device in zip(scans.headers, scans.devices, strict=True)
        ]

    def _reason_of(self, agent: UserAgent, device: Device) -> BotReason:
        if agent.bot_reason is None:
            agent.bot_reason = judge_name(device, agent.sent)
        return agent.bot_reason

    def _key_visitors(self, scans: Scans) -> None:
        agents = [headers.user_agent.sent for headers in scans.headers]
        languages = [headers.accept_language for headers in scans.headers]
        scans.visitors = self._visitors.keys(zip(scans.times_ns, scans.addresses, agents, languages, strict=True))

    def _read_languages(self, scans: Scans) -> None:
        scans.languages = [first_language(headers.accept_language) for headers in scans.headers]

    def _keep_addresses(self, scans: Scans) -> None:
        if self._ip_storage == "none":
            scans.ips = [""] * len(scans)
            return
        text = text_of if self._ip_storage == "full" else network_of
        scans.ips = [text(address) if address else "" for address in scans.addresses]

    def _count(self, step: Step, records: int, seconds: float) -> None:
        before = self._figures[step]
        self._figures[step] = Figures(before.records + records, before.seconds + seconds)

    def _count_reasons(self, scans: Scans) -> None:
        """What was not as usual; each by one pass at the speed of C."""
        unknown = scans.addresses.count(b"")
        self._add(Step.CLIENT, Unknown.NO_ADDRESS, unknown)
        self._add(Step.PLACE, Unknown.NO_PLACE, scans.places.count(NOWHERE))
        self._add(Step.VISITOR, Unknown.NO_SALT, scans.visitors.count(NO_VISITOR) - unknown)
        for reason, count in Counter(scans.bot_reasons).items():
            if reason is not BotReason.NONE:
                self._add(Step.BOT, reason, count)

    def _add(self, step: Step, reason: str, count: int) -> None:
        if count:
            self.reasons[step, reason] += count

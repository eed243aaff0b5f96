"""What a scan would be answered, and why: the very decision that the edge makes, on facts that are told.

Nothing is counted. Of a code whose scans are limited, their number is what was last persisted, unless it is told.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv4Address, IPv6Address
from typing import Any
from uuid import UUID

from control_api.clock import Clock
from control_api.qr_codes.model import QrCode
from control_api.qr_codes.service import QrCodes
from control_api.web.problem import not_found
from scanhop.client_facts.device import DeviceReader
from scanhop.client_facts.geo import GeoReader
from scanhop.client_facts.language import ranked_languages
from scanhop.routing.conditions import Verdict, judge
from scanhop.routing.decision import Decision, decide, is_counted
from scanhop.routing.facts import GivenFacts
from scanhop.routing.moments import unix_ns
from scanhop.routing.rule_compilation import compile_rule
from scanhop.stores.routes import RouteTable
from scanhop.stores.scan_counters import ScanCountTable
from scanhop.wire.ids import WorkspaceId


@dataclass(frozen=True)
class ToldScan:
    """A scan as it is told. None or empty: not told; `now` None: now. `language`: as in Accept-Language."""

    user_agent: str = ""
    language: str = ""
    ip: IPv4Address | IPv6Address | None = None
    country: str | None = None
    region: str | None = None
    city: str | None = None
    query: str = ""
    now: datetime | None = None
    scans: int | None = None
    password_ok: bool = False


@dataclass(frozen=True)
class RuleVerdict:
    """What one rule came to: each condition with whether it is met, None where the fact is not known."""

    id: str
    conditions: Sequence[tuple[dict[str, Any], Verdict]]

    @property
    def is_met(self) -> bool:
        return all(verdict for _, verdict in self.conditions)


@dataclass(frozen=True)
class Resolution:
    """The answer, what it was decided by, and each rule, those behind the one that decided too."""

    code: QrCode
    decision: Decision
    facts: GivenFacts
    rules: Sequence[RuleVerdict]


class DryRun:
    """Raises Problem, StoreUnavailable. `ab_secret`: what the edge chooses variants by."""

    def __init__(  # noqa: PLR0913 - its collaborators
        self,
        codes: QrCodes,
        routes: RouteTable,
        counts: ScanCountTable,
        device_reader: DeviceReader,
        geo_reader: GeoReader,
        ab_secret: bytes,
        clock: Clock,
    ) -> None:
        self._codes = codes
        self._routes = routes
        self._counts = counts
        self._device_reader = device_reader
        self._geo_reader = geo_reader
        self._ab_secret = ab_secret
        self._clock = clock

    async def resolve(self, workspace_id: WorkspaceId, qr_id: UUID, told: ToldScan) -> Resolution:
        code = await self._codes.get(workspace_id, qr_id)
        route = await self._routes.find_route_by_id(qr_id)
        if route is None:
            raise not_found("QR code")
        scans = told.scans
        if scans is None and is_counted(route):
            scans = await self._counts.find_count(route.qr_id)
        facts = self._facts(told, scans)
        return Resolution(code, decide(route, facts), facts, [_judge_rule(rule, facts) for rule in code.rules])

    def _facts(self, told: ToldScan, scans: int | None) -> GivenFacts:
        address = told.ip
        if isinstance(address, IPv6Address):
            address = address.ipv4_mapped or address
        place = self._geo_reader.read(address)
        return GivenFacts(
            now_ns=unix_ns(told.now or self._clock()),
            device=self._device_reader.read(told.user_agent),
            address=address,
            country=place.country if told.country is None else told.country.upper(),
            region=place.region if told.region is None else told.region,
            city=place.city if told.city is None else told.city,
            languages=ranked_languages(told.language.encode("latin-1", "replace")),
            query=told.query.removeprefix("?").encode(),
            user_agent=told.user_agent,
            scans=scans,
            is_unlocked=told.password_ok,
            ab_secret=self._ab_secret,
        )


def _judge_rule(rule: dict[str, Any], facts: GivenFacts) -> RuleVerdict:
    compiled = compile_rule(rule)
    verdicts = [judge(condition, facts) for condition in compiled.when]
    return RuleVerdict(compiled.id, list(zip(rule["when"], verdicts, strict=True)))

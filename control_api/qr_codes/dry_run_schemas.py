"""Dry runs as JSON."""

from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv6Address
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from control_api.qr_codes.dry_run import Resolution, RuleVerdict, ToldScan
from control_api.qr_codes.routing_fields import Condition
from control_api.web.moment import Moment
from scanhop.routing.conditions import Verdict
from scanhop.routing.targets import has_control_characters

RESULTS: dict[Verdict, Literal["met", "not_met", "unknown"]] = {True: "met", False: "not_met", None: "unknown"}


def _require_plain(text: str) -> str:
    if has_control_characters(text) or any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("must not contain control characters")
    return text


_PLAIN = {"pattern": r"^[^\x00-\x1f\x7f]*$"}
Header = Annotated[str, AfterValidator(_require_plain), Field(max_length=1024, json_schema_extra=dict(_PLAIN))]
PlaceName = Annotated[str, AfterValidator(_require_plain), Field(max_length=100, json_schema_extra=dict(_PLAIN))]
Query = Annotated[str, AfterValidator(_require_plain), Field(max_length=2048, json_schema_extra=dict(_PLAIN))]


class ScanTold(BaseModel):
    """A scan that did not happen; whatever is left out is not known."""

    model_config = ConfigDict(extra="forbid")

    user_agent: Annotated[Header, Field(description="The phone's User-Agent")] = ""
    language: Annotated[Header, Field(description="As in Accept-Language", examples=["de-CH,de;q=0.9"])] = ""
    ip: Annotated[
        IPv4Address | IPv6Address | None,
        Field(description="Its place is looked up where country and so on are absent"),
    ] = None
    country: Annotated[PlaceName | None, Field(description="ISO 3166 code", examples=["DE"])] = None
    region: PlaceName | None = None
    city: PlaceName | None = None
    query: Annotated[Query, Field(description="Of the short URL", examples=["utm_source=poster"])] = ""
    now: Annotated[Moment | None, Field(description="When it happens; now if absent")] = None
    scans: Annotated[
        int | None, Field(strict=True, ge=0, lt=2**63, description="Scans before; what was counted if absent")
    ] = None
    password_ok: Annotated[bool, Field(description="Whether the right password was given")] = False

    def to_model(self) -> ToldScan:
        return ToldScan(**{name: getattr(self, name) for name in type(self).model_fields})


class ConditionVerdict(BaseModel):
    """One condition of a rule, and whether the scan meets it."""

    condition: Condition
    result: Literal["met", "not_met", "unknown"] = Field(description="A fact that is unknown meets no condition")


class RuleExplanation(BaseModel):
    """One rule. The first that is met decides, once the code's state lets scans through at all."""

    id: str
    is_met: bool
    decides: bool
    conditions: list[ConditionVerdict]

    @classmethod
    def of(cls, rule: RuleVerdict, rule_id: str) -> "RuleExplanation":
        return cls(
            id=rule.id,
            is_met=rule.is_met,
            decides=rule.id == rule_id,
            conditions=[
                ConditionVerdict(condition=condition, result=RESULTS[verdict])  # type: ignore[arg-type]
                for condition, verdict in rule.conditions
            ],
        )


class FactsSeen(BaseModel):
    """What rules could see of the scan."""

    device: str
    os: str
    browser: str
    country: str
    region: str
    city: str
    languages: list[str]
    scans: int | None


class ResolutionAnswer(BaseModel):
    """What the scan would have been answered, and why."""

    outcome: str = Field(
        description="redirect, paused, not_yet, expired, limit, locked or banned", examples=["redirect"]
    )
    http_status: int
    target_url: str | None = Field(description="Where it would have been sent; null: it sees a page")
    rule_id: str | None = Field(description="The rule that decided; null: none did")
    variant: str | None
    opens_at: datetime | None
    version: int = Field(description="The version of the code that was asked")
    facts: FactsSeen
    rules: list[RuleExplanation]

    @classmethod
    def of(cls, resolution: Resolution) -> "ResolutionAnswer":
        decision, facts = resolution.decision, resolution.facts
        opens_ns = decision.opens_at_ns
        return cls(
            outcome=decision.outcome.name.lower(),
            http_status=decision.http_status,
            target_url=decision.location,
            rule_id=decision.rule_id or None,
            variant=decision.variant or None,
            opens_at=None if opens_ns is None else datetime.fromtimestamp(opens_ns / 1e9, UTC),
            version=resolution.code.version,
            facts=FactsSeen(
                device=facts.device.device_type,
                os=facts.device.os,
                browser=facts.device.browser,
                country=facts.country,
                region=facts.region,
                city=facts.city,
                languages=[tag for tag, _ in facts.languages],
                scans=facts.scans,
            ),
            rules=[RuleExplanation.of(rule, decision.rule_id) for rule in resolution.rules],
        )
